// Command sql has the capability it is named after.
package main

import "database/sql"

func main() { sql.Open("none", "") }
