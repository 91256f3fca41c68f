"""What the command line and the window share. No Qt."""
