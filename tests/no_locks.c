// Preloaded into a process: a file system without locks, as NFS, Lustre and Gluster can be. $NO_LOCKS is the error.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

static int refuse(void) {
  errno = atoi(getenv("NO_LOCKS"));
  return -1;
}

int flock(int descriptor, int operation) { return refuse(); }

static int locks(int command) {
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW ||
         command == F_OFD_GETLK;
}

int fcntl64(int descriptor, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return locks(command) ? refuse() : syscall(SYS_fcntl, descriptor, command, argument);
}

int fcntl(int descriptor, int command, ...) {
  va_list rest;
  va_start(rest, command);
  void *argument = va_arg(rest, void *);
  va_end(rest);
  return locks(command) ? refuse() : syscall(SYS_fcntl, descriptor, command, argument);
}
