# Version and description have one source, package.xml; all else is in pyproject.toml.
import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import setup

package = ET.parse(Path(__file__).with_name('package.xml'))
setup(version=package.findtext('version'), description=' '.join(package.findtext('description').split()))
