"""From pictures to visual tokens: the vision encoder, and the cachers that let it reuse features."""
