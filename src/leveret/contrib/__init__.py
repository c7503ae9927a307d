"""What joins Leveret to other libraries. Nothing here is imported by Leveret itself, nor are those libraries required."""
