import xml.etree.ElementTree as ET
from pathlib import Path

from setuptools import setup

package = ET.parse(Path(__file__).with_name('package.xml'))
setup(version=package.findtext('version'), description=' '.join(package.findtext('description').split()))
