"""One model, a session for each camera, fair turns between frames, questions and narration. Knows nothing of ROS."""
