package history

// Version1 returns the statements that make the tables of version 1.
func Version1() []string { return migrations[0] }
