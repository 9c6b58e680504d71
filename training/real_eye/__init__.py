"""Trains the embedded language model behind a real vision tower; see stc_ros/models/real_eye."""
