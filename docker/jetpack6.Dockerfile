# Jetson Orin, JetPack 6 (Ubuntu 22.04, Humble, Python 3.10), aarch64; add --runtime nvidia. Not yet built by us.
#   docker build -f docker/jetpack6.Dockerfile -t stc_ros . && docker run --gpus all --net host --ipc host stc_ros
FROM ros:humble
SHELL ["/bin/bash", "-c"]
ENV DEBIAN_FRONTEND=noninteractive
RUN apt-get update && apt-get install -y --no-install-recommends python3-pip python3-venv build-essential \
    python3-colcon-common-extensions python3-rosdep && rm -rf /var/lib/apt/lists/*
WORKDIR /ws
COPY . src/stc_ros
RUN apt-get update && (rosdep init || true) && rosdep update --rosdistro "$ROS_DISTRO" \
    && rosdep install --from-paths src --ignore-src -y && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv --system-site-packages venv && touch venv/COLCON_IGNORE && source venv/bin/activate \
    && pip install --no-cache-dir torch --index-url https://pypi.jetson-ai-lab.io/jp6/cu126 \
    && pip install --no-cache-dir 'transformers>=5.17,<5.24' av
RUN source "/opt/ros/$ROS_DISTRO/setup.bash" && source venv/bin/activate && colcon build --packages-select stc_ros
CMD ["/bin/bash", "-c", "source /ws/install/setup.bash && source /ws/venv/bin/activate && exec ros2 run stc_ros stream"]
