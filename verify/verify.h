/* lathe-verify: one or two forms of a model through the reference forward pass. */
#ifndef LATHE_VERIFY_H
#define LATHE_VERIFY_H

/* Runs the tool; argv[0] is its name. Returns the exit status: 0 agree, 1 differ, 2 could not run. */
int verify_main(int argc, char **argv);

#endif
