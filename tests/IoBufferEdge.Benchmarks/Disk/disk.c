// Stands between the gateway and its disk (LD_PRELOAD): writes down what the process does to the files under one folder, so that a
// power cut can be played from outside (RecordedDisk.cs), and lets calls fail on demand (DiskFaults.cs).
//   IOBUFFER_DISK_ROOT     the folder; nothing outside of it is touched
//   IOBUFFER_DISK_JOURNAL  events are appended here, one writev each: struct event, path, data
//   IOBUFFER_DISK_CONTROL  a file of at least sizeof(struct control), written by the test while this process runs
// An event is appended when the call is over and its result known, a sync's beginning before the call. What changes names is done
// under one lock with its event. Not seen: mapped memory, what fopen writes (the engine's own LOG), descriptors that were duplicated.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, CLOSE, WRITE, TRUNCATE, ALLOCATE, SYNC_BEGIN, SYNC_END, SYNC_FAILED, RENAME, EXCHANGE, UNLINK, LINK, MKDIR, RMDIR };
enum { FAIL_WRITE = 1, FAIL_SYNC = 2, FAIL_OPEN = 4, FAIL_NAME = 8, FAIL_ALLOCATE = 16, FAIL_READ = 32 };
enum { MAGIC = 0x4A424F49, DESCRIPTORS = 65536, EXCHANGE_FLAG = 2 };

struct event { uint32_t magic; uint16_t kind, path_bytes; int32_t fd, flags; int64_t offset, length; };

// A call of a kind in `calls` on a path that holds `match` fails with `error`, after `skip` that did not and until `left` did.
struct control {
  _Atomic uint32_t calls; int32_t error; _Atomic int64_t skip, left; _Atomic int64_t failed, seen;
  uint32_t sync_delay_us; char match[60];
};

static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static struct control *control;
static char *_Atomic names[DESCRIPTORS];
static pthread_mutex_t namespace_lock = PTHREAD_MUTEX_INITIALIZER;

typedef void *(*dlsym_call)(void *, const char *);
static dlsym_call real_dlsym(void) {
  static dlsym_call found;
  if (!found) found = (dlsym_call)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.34");
  if (!found) found = (dlsym_call)dlvsym(RTLD_NEXT, "dlsym", "GLIBC_2.2.5");
  return found;
}

#define REAL(result, name, ...) \
  static result (*real_##name)(__VA_ARGS__); \
  if (!real_##name) real_##name = (result (*)(__VA_ARGS__))real_dlsym()(RTLD_NEXT, #name)

static int real_open_file(const char *path, int flags, int mode) {
  REAL(int, open64, const char *, int, ...);
  return real_open64(path, flags, mode);
}

__attribute__((constructor)) static void begin(void) {
  const char *folder = getenv("IOBUFFER_DISK_ROOT"), *events = getenv("IOBUFFER_DISK_JOURNAL"), *faults = getenv("IOBUFFER_DISK_CONTROL");
  if (!folder || !events || !faults) return;
  strncpy(root, folder, sizeof root - 1);
  root_length = strlen(root);
  journal = real_open_file(events, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  int file = real_open_file(faults, O_RDWR | O_CLOEXEC, 0);
  void *page = mmap(0, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (journal < 0 || page == MAP_FAILED) abort();
  control = page;
}

static int is_ours(const char *path) {
  return journal >= 0 && path && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static const char *name_of(int fd) { return fd >= 0 && fd < DESCRIPTORS ? names[fd] : 0; }

static void tell(int kind, int fd, int flags, int64_t offset, int64_t length, const char *path, const char *path2, const void *data) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  int saved = errno;
  size_t first = path ? strlen(path) : 0, second = path2 ? strlen(path2) + 1 : 0;
  struct event event = { MAGIC, kind, first + second, fd, flags, offset, length };
  struct iovec parts[4] = { { &event, sizeof event }, { (void *)path, first }, { (void *)(path2 ? path2 - 1 : 0), 0 }, { (void *)data, data ? length : 0 } };
  char other[PATH_MAX];
  if (path2) {
    other[0] = 0;
    memcpy(other + 1, path2, second - 1);
    parts[2] = (struct iovec){ other, second };
  }
  if (real_writev(journal, parts, 4) != (ssize_t)(sizeof event + first + second + parts[3].iov_len)) abort();
  errno = saved;
}

// The error that this call must end in, or 0.
static int fault(int call, const char *path) {
  if (!control || !(control->calls & call) || (control->match[0] && !strstr(path, control->match))) return 0;
  control->seen++;
  if (atomic_fetch_sub(&control->skip, 1) > 0 || atomic_fetch_sub(&control->left, 1) <= 0) return 0;
  control->failed++;
  return errno = control->error;
}

static int opened(const char *path, int flags, int mode) {
  if (!is_ours(path)) return real_open_file(path, flags, mode);
  if (fault(flags & O_CREAT ? FAIL_OPEN : FAIL_READ, path)) return -1;
  pthread_mutex_lock(&namespace_lock);
  int fd = real_open_file(path, flags, mode);
  if (fd >= 0 && fd < DESCRIPTORS) {
    names[fd] = strdup(path);
    tell(OPEN, fd, flags & (O_CREAT | O_TRUNC), 0, 0, path, 0, 0);
  }
  pthread_mutex_unlock(&namespace_lock);
  return fd;
}

#define OPEN_MODE(flags) int mode = 0; if ((flags) & O_CREAT) { va_list list; va_start(list, flags); mode = va_arg(list, int); va_end(list); }
int open(const char *path, int flags, ...) { OPEN_MODE(flags) return opened(path, flags, mode); }
int open64(const char *path, int flags, ...) { OPEN_MODE(flags) return opened(path, flags, mode); }

int close(int fd) {
  REAL(int, close, int);
  const char *name = name_of(fd);
  if (!name) return real_close(fd);
  names[fd] = NULL; // the name is not freed: another thread may be failing a call on it
  tell(CLOSE, fd, 0, 0, 0, 0, 0, 0);
  return real_close(fd);
}

static ssize_t write_at(int fd, const void *data, size_t bytes, off_t offset) {
  REAL(ssize_t, pwrite64, int, const void *, size_t, off_t);
  REAL(ssize_t, write, int, const void *, size_t);
  const char *name = name_of(fd);
  int error = name ? fault(FAIL_WRITE, name) : 0;
  if (error) bytes /= 2; // a write that fails may have written a part
  ssize_t written = offset < 0 ? real_write(fd, data, bytes) : real_pwrite64(fd, data, bytes, offset);
  if (name && written > 0) tell(WRITE, fd, 0, offset < 0 ? lseek(fd, 0, SEEK_CUR) - written : offset, written, 0, 0, data);
  if (error) errno = error;
  return error ? -1 : written;
}

ssize_t write(int fd, const void *data, size_t bytes) { return write_at(fd, data, bytes, -1); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return write_at(fd, data, bytes, offset); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off_t offset) { return write_at(fd, data, bytes, offset); }

static ssize_t write_parts(int fd, const struct iovec *parts, int count, off_t offset) {
  ssize_t total = 0;
  for (int i = 0; i < count; i++) {
    ssize_t written = write_at(fd, parts[i].iov_base, parts[i].iov_len, offset < 0 ? -1 : offset + total);
    if (written < 0) return total ? total : written;
    total += written;
    if (written < (ssize_t)parts[i].iov_len) break;
  }
  return total;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
  REAL(ssize_t, writev, int, const struct iovec *, int);
  return name_of(fd) ? write_parts(fd, parts, count, -1) : real_writev(fd, parts, count);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
  REAL(ssize_t, pwritev, int, const struct iovec *, int, off_t);
  return name_of(fd) ? write_parts(fd, parts, count, offset) : real_pwritev(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off_t offset) { return pwritev(fd, parts, count, offset); }

static ssize_t read_at(int fd, void *data, size_t bytes, off_t offset) {
  REAL(ssize_t, pread64, int, void *, size_t, off_t);
  REAL(ssize_t, read, int, void *, size_t);
  const char *name = name_of(fd);
  if (name && fault(FAIL_READ, name)) return -1;
  return offset < 0 ? real_read(fd, data, bytes) : real_pread64(fd, data, bytes, offset);
}

ssize_t read(int fd, void *data, size_t bytes) { return read_at(fd, data, bytes, -1); }
ssize_t pread(int fd, void *data, size_t bytes, off_t offset) { return read_at(fd, data, bytes, offset); }
ssize_t pread64(int fd, void *data, size_t bytes, off_t offset) { return read_at(fd, data, bytes, offset); }

static int synced(int fd, int (*sync_call)(int)) {
  const char *name = name_of(fd);
  if (!name) return sync_call(fd);
  tell(SYNC_BEGIN, fd, 0, 0, 0, 0, 0, 0);
  static _Atomic uint32_t step;
  if (control->sync_delay_us) usleep((step++ * 2654435761u >> 8) % control->sync_delay_us);
  int result = fault(FAIL_SYNC, name) ? -1 : sync_call(fd);
  tell(result ? SYNC_FAILED : SYNC_END, fd, 0, 0, 0, 0, 0, 0);
  return result;
}

int fsync(int fd) { REAL(int, fsync, int); return synced(fd, real_fsync); }
int fdatasync(int fd) { REAL(int, fdatasync, int); return synced(fd, real_fdatasync); }

int ftruncate64(int fd, off_t length) {
  REAL(int, ftruncate64, int, off_t);
  const char *name = name_of(fd);
  if (name && fault(FAIL_NAME, name)) return -1;
  int result = real_ftruncate64(fd, length);
  if (name && !result) tell(TRUNCATE, fd, 0, 0, length, 0, 0, 0);
  return result;
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int fallocate64(int fd, int mode, off_t offset, off_t length) {
  REAL(int, fallocate64, int, int, off_t, off_t);
  const char *name = name_of(fd);
  if (name && fault(FAIL_ALLOCATE, name)) return -1;
  int result = real_fallocate64(fd, mode, offset, length);
  if (name && !result && !(mode & FALLOC_FL_KEEP_SIZE)) tell(ALLOCATE, fd, 0, 0, offset + length, 0, 0, 0);
  return result;
}

int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }

int posix_fallocate(int fd, off_t offset, off_t length) { return fallocate64(fd, 0, offset, length) ? errno : 0; }

// A change of names: the call and its event, in one step for all who look.
#define CHANGE(kind, path, path2, call) \
  if (!is_ours(path)) return call; \
  if (fault(FAIL_NAME, path)) return -1; \
  pthread_mutex_lock(&namespace_lock); \
  int result = call; \
  if (!result) tell(kind, -1, 0, 0, 0, path, path2, 0); \
  pthread_mutex_unlock(&namespace_lock); \
  return result;

int rename(const char *from, const char *to) { REAL(int, rename, const char *, const char *); CHANGE(RENAME, from, to, real_rename(from, to)) }
int link(const char *from, const char *to) { REAL(int, link, const char *, const char *); CHANGE(LINK, from, to, real_link(from, to)) }
int unlink(const char *path) { REAL(int, unlink, const char *); CHANGE(UNLINK, path, 0, real_unlink(path)) }
int rmdir(const char *path) { REAL(int, rmdir, const char *); CHANGE(RMDIR, path, 0, real_rmdir(path)) }
int mkdir(const char *path, mode_t mode) { REAL(int, mkdir, const char *, mode_t); CHANGE(MKDIR, path, 0, real_mkdir(path, mode)) }

int renameat2(int from_folder, const char *from, int to_folder, const char *to, unsigned flags) {
  REAL(int, renameat2, int, const char *, int, const char *, unsigned);
  CHANGE(flags & EXCHANGE_FLAG ? EXCHANGE : RENAME, from, to, real_renameat2(from_folder, from, to_folder, to, flags))
}

// The runtime looks functions of libc up by name; it must find those above.
void *dlsym(void *library, const char *name) {
  static const struct { const char *name; void *call; } ours[] = {
    { "open", open }, { "fdatasync", fdatasync }, { "fsync", fsync }, { "link", link }, { "renameat2", renameat2 }, { "fallocate", fallocate },
  };
  for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
    if (library != RTLD_NEXT && !strcmp(ours[i].name, name)) return ours[i].call;
  return real_dlsym()(library, name);
}
