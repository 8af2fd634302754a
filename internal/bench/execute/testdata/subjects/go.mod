module example.com/subjects

go 1.24
