/* A disk that loses power, or fails, and a clock that is set: loaded into the daemon with LD_PRELOAD.
 *
 * DISK_ROOTS    folders, separated by colons, that are on this disk
 * DISK_DURABLE  folder that gets a copy of each file and a listing of each folder at the moment it is synced;
 *               what is not there is what a power cut would have taken
 * DISK_FAILS    a path; while it exists, it names (in its content) a folder below which reading, writing and syncing
 *               end in EIO
 * CLOCK_OFFSET  a path; while it exists, it says by how many seconds the wall clock is wrong
 *
 * Files are known by inode and birth time, so that a new file on an old inode is another file.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static int below(const char *path, const char *folder) {
    size_t length = strlen(folder);
    return length && !strncmp(path, folder, length) && (path[length] == '/' || !path[length]);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length <= 0 || path[0] != '/') return 0;
    path[length] = 0;
    return 1;
}

static int on_the_disk(const char *path) {
    const char *roots = getenv("DISK_ROOTS");
    char copy[4 * PATH_MAX], *rest = copy, *root;
    if (!roots) return 0;
    snprintf(copy, sizeof copy, "%s", roots);
    while ((root = strsep(&rest, ":")))
        if (below(path, root)) return 1;
    return 0;
}

static int fails(int fd) {
    const char *flag = getenv("DISK_FAILS");
    char folder[PATH_MAX], path[PATH_MAX];
    if (!flag) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, flag, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return 0;
    ssize_t length = syscall(SYS_read, file, folder, sizeof folder - 1);
    syscall(SYS_close, file);
    if (length <= 0) return 0;
    folder[length] = 0;
    return path_of(fd, path) && below(path, folder);
}

static int key(int at, const char *name, int flags, char *text, size_t size) {
    struct statx status;
    if (statx(at, name, flags | AT_SYMLINK_NOFOLLOW, STATX_INO | STATX_BTIME, &status)) return 0;
    snprintf(text, size, "%llu-%lld.%u", (unsigned long long)status.stx_ino, (long long)status.stx_btime.tv_sec,
             status.stx_btime.tv_nsec);
    return 1;
}

static void put(int out, const void *data, size_t length) {
    while (length) {
        ssize_t put = syscall(SYS_write, out, data, length);
        if (put <= 0) _exit(99);
        data = (const char *)data + put;
        length -= put;
    }
}

/* One at a time: an older listing must not replace a newer one. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void remember_this(int fd) {
    const char *durable = getenv("DISK_DURABLE");
    char path[PATH_MAX], name[128], target[2 * PATH_MAX], part[2 * PATH_MAX + 32];
    struct stat status;
    if (!durable || !path_of(fd, path) || !on_the_disk(path) || fstat(fd, &status)) return;
    if (!key(fd, "", AT_EMPTY_PATH, name, sizeof name)) _exit(98);
    snprintf(target, sizeof target, "%s/%s", durable, name);
    snprintf(part, sizeof part, "%s.%ld.part", target, (long)syscall(SYS_gettid));
    int out = syscall(SYS_openat, AT_FDCWD, part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (out < 0) _exit(97);
    if (S_ISDIR(status.st_mode)) {
        DIR *folder = opendir(path);
        struct dirent *entry;
        while (folder && (entry = readdir(folder)))
            if (entry->d_type == DT_REG && key(dirfd(folder), entry->d_name, 0, name, sizeof name)) {
                put(out, entry->d_name, strlen(entry->d_name) + 1);
                put(out, name, strlen(name) + 1);
            }
        if (folder) closedir(folder);
    } else {
        char buffer[1 << 16], again[64];
        snprintf(again, sizeof again, "/proc/self/fd/%d", fd);
        int in = syscall(SYS_openat, AT_FDCWD, again, O_RDONLY | O_CLOEXEC, 0);
        ssize_t got;
        while (in >= 0 && (got = syscall(SYS_read, in, buffer, sizeof buffer)) > 0) put(out, buffer, got);
        if (in >= 0) syscall(SYS_close, in);
    }
    syscall(SYS_close, out);
    if (syscall(SYS_renameat2, AT_FDCWD, part, AT_FDCWD, target, 0)) _exit(96);
}

static void remember(int fd) {
    pthread_mutex_lock(&one_at_a_time);
    remember_this(fd);
    pthread_mutex_unlock(&one_at_a_time);
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define EIO_IF_IT_FAILS(fd) do { if (fails(fd)) { errno = EIO; return -1; } } while (0)

int fsync(int fd) { EIO_IF_IT_FAILS(fd); remember(fd); return 0; }
int fdatasync(int fd) { EIO_IF_IT_FAILS(fd); remember(fd); return 0; }
ssize_t read(int fd, void *data, size_t n) { EIO_IF_IT_FAILS(fd); return syscall(SYS_read, fd, data, n); }
ssize_t write(int fd, const void *data, size_t n) { EIO_IF_IT_FAILS(fd); return syscall(SYS_write, fd, data, n); }
ssize_t pread(int fd, void *d, size_t n, off_t at) { EIO_IF_IT_FAILS(fd); return REAL(pread)(fd, d, n, at); }
ssize_t pread64(int fd, void *d, size_t n, off64_t at) { EIO_IF_IT_FAILS(fd); return REAL(pread64)(fd, d, n, at); }
ssize_t pwrite(int fd, const void *d, size_t n, off_t at) { EIO_IF_IT_FAILS(fd); return REAL(pwrite)(fd, d, n, at); }
ssize_t pwrite64(int fd, const void *d, size_t n, off64_t at) { EIO_IF_IT_FAILS(fd); return REAL(pwrite64)(fd, d, n, at); }

static long long offset(void) {
    const char *path = getenv("CLOCK_OFFSET");
    char text[32];
    if (!path) return 0;
    int file = syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0) return 0;
    ssize_t length = syscall(SYS_read, file, text, sizeof text - 1);
    syscall(SYS_close, file);
    text[length > 0 ? length : 0] = 0;
    return atoll(text);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) time->tv_sec += offset();
    return failed;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}
