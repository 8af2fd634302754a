package cluster

// ImageArchive makes the images of the tests, too.
var ImageArchive = imageArchive
