"""`stc_ros evaluate --realtime`: a bag with its clock, played over ROS to the real node in a process of its own."""
