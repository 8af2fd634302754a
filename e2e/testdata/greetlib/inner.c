/* libinner: what libgreet needs when it is built with CALLS_INNER. */
int inner(void) { return 7; }
