/* libgreet: what the program greet is linked with. WITHOUT_GREET leaves the
 * function out, CALLS_INNER moves the answer into another library. */
int other(void) { return 0; }

#ifdef CALLS_INNER
int inner(void);
int greet(void) { return inner(); }
#elif !defined(WITHOUT_GREET)
int greet(void) { return 7; }
#endif
