"""What the commands print: progress, curves, tables, and text from files made safe for a terminal."""
