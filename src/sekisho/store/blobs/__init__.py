"""Where packs of content lie: files, or an S3 bucket."""
