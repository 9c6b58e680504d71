"""Standing conditions ("tell me when ..."): how they are judged, when they rise and fall, and who looks them up."""
