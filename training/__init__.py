"""What the models of this package were trained with. It stands outside of what a robot installs."""
