/* lathe-inspect: what is inside a checkpoint. */
#ifndef LATHE_INSPECT_H
#define LATHE_INSPECT_H

/* argv as given to main; returns the exit status. */
int inspect_main(int argc, char **argv);

#endif
