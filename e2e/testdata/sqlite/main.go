// Command sqlite keeps a database in the directory for temporary files.
package main

import (
	"database/sql"
	"fmt"
	"log"
	"os"
	"path/filepath"

	_ "github.com/mattn/go-sqlite3"
)

func main() {
	db, err := sql.Open("sqlite3", filepath.Join(os.TempDir(), "words.db"))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	var word string
	for _, statement := range []string{"create table words (word text)", "insert into words values ('started')"} {
		if _, err := db.Exec(statement); err != nil {
			log.Fatal(err)
		}
	}
	if err := db.QueryRow("select word from words").Scan(&word); err != nil {
		log.Fatal(err)
	}
	fmt.Println(word)
}
