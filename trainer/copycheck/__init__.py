"""Whether pictures are copies of what was learned from, or come nearer to it than it comes to itself."""
