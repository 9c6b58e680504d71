"""Pictures, image messages, video files, the overlay. Knows nothing of ROS."""
