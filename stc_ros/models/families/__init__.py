"""Model families, one file each: what is their own, as a `VideoModel`."""
