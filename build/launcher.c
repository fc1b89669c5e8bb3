/* The one file that users have: it unpacks the program into a cache once and becomes it.
 *
 *     CACHE/anabranch/NAME/...     NAME holds the version and the digest of what is inside
 *
 * A start that finds the folder whole costs a stat per file. Otherwise everything is unpacked beside it and
 * renamed into place, so that several starts at once, or a power cut, never leave half a program; what one that was
 * killed left is swept away by the next. Only folders that no other user can change are used, or made anything in: a
 * cache that somebody else owns would run his program as ours.
 *
 * payload.h is written by build/payload.py: NAME, PROGRAM, PAYLOAD, CONTENT_BYTES, CONTENT_CRC and the FILES in their
 * order.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "payload.h"
#include "unlzma.h"

__asm__(".pushsection .rodata\n"
        ".global payload, payload_end\n"
        "payload: .incbin \"" PAYLOAD "\"\n"
        "payload_end: .byte 0\n"
        ".popsection\n");
extern const unsigned char payload[], payload_end[];

static const char *CHANGEABLE = "another user could change it";

/* Why a place was not used, for the message when none was. */
static char refusals[8 * PATH_MAX];

static void refuse(const char *place, const char *reason) {
    size_t used = strlen(refusals);
    snprintf(refusals + used, sizeof refusals - used, "\n  %s: %s", place, reason);
}

/* Whether what stands at `path` is a folder of this user that nobody else may change. */
static int is_ours(const char *path) {
    struct stat at;
    return lstat(path, &at) == 0 && S_ISDIR(at.st_mode) && at.st_uid == geteuid() &&
           !(at.st_mode & (S_IWGRP | S_IWOTH));
}

/* Whether nobody but this user and root can put something else at `path`, at any step of the way to it. */
static int is_held(const char *path) {
    char step[PATH_MAX];
    struct stat at;
    strcpy(step, path);
    for (;; *strrchr(step, '/') = 0) {
        if (lstat(*step ? step : "/", &at) || (at.st_uid != geteuid() && at.st_uid != 0)) return 0;
        if (!S_ISLNK(at.st_mode) && !(at.st_mode & S_ISVTX)) {
            /* A group of its owner's own number is the owner alone, as most systems give each account. */
            if (at.st_mode & S_IWOTH || (at.st_mode & S_IWGRP && at.st_gid != at.st_uid)) return 0;
        }
        if (!*step) return 1;
    }
}

/* The same of the way that the links in it lead. `path` becomes that way. */
static int is_held_beyond_links(char path[static PATH_MAX]) {
    char real[PATH_MAX];
    if (!is_held(path) || !realpath(path, real)) return 0;
    strcpy(path, real);
    return is_held(path);
}

/* Whether every file is there at its full length (cleaners of caches take single files). */
static int is_whole(const char *folder) {
    char path[PATH_MAX];
    struct stat at;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FILES[i].path);
        if (lstat(path, &at) || !S_ISREG(at.st_mode) || (size_t)at.st_size != FILES[i].bytes) return 0;
    }
    return 1;
}

static void make_parents(char *path, size_t from) {
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = 0;
        mkdir(path, 0700);
        *slash = '/';
    }
}

/* Make the folder `path`, and what is missing of the way to it; NULL, or why not. What others can change is left
 * alone: root with the HOME of somebody else would leave a folder there that its owner cannot use. */
static const char *make_place(char *path) {
    char there[PATH_MAX];
    struct stat at;
    strcpy(there, path);
    while (*there && lstat(there, &at)) *strrchr(there, '/') = 0;
    if (!*there) strcpy(there, "/");
    if (!is_held_beyond_links(there)) return CHANGEABLE;
    make_parents(path, 1);
    return mkdir(path, 0700) && errno != EEXIST ? strerror(errno) : NULL;
}

/* Undo payload.py's `addressed`: x86's relative addresses were made absolute, which compresses better. */
static void relative(unsigned char *content) {
    for (size_t i = 0; i + 7 <= CONTENT_BYTES;) {
        const unsigned char *at = content + i;
        size_t operand = 0;
        if ((at[0] & 0xFE) == 0xE8) operand = 1;
        if (at[0] == 0xFF && (at[1] == 0x15 || at[1] == 0x25)) operand = 2;
        if ((at[0] & 0xFB) == 0x48 && (at[1] == 0x8B || at[1] == 0x8D) && (at[2] & 0xC7) == 5) operand = 3;
        uint32_t address;
        if (!operand) {
            i++;
            continue;
        }
        memcpy(&address, at + operand, 4);
        i += operand + 4;
        if (address >> 24 != 0x00 && address >> 24 != 0xFF) continue;
        address = (address - (uint32_t)i) & 0x01FFFFFF;
        address |= address & 0x01000000 ? 0xFF000000 : 0;
        memcpy(content + i - 4, &address, 4);
    }
}

/* The checksum of zip files. */
static uint32_t crc32(const unsigned char *content) {
    uint32_t of_byte[256], crc = 0xFFFFFFFF;
    for (uint32_t byte = 0; byte < 256; byte++) {
        of_byte[byte] = byte;
        for (int i = 0; i < 8; i++) of_byte[byte] = of_byte[byte] >> 1 ^ (of_byte[byte] & 1 ? 0xEDB88320 : 0);
    }
    for (size_t i = 0; i < CONTENT_BYTES; i++) crc = crc >> 8 ^ of_byte[(crc ^ content[i]) & 0xFF];
    return ~crc;
}

static int write_file(const char *path, mode_t mode, const unsigned char *from, size_t bytes) {
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    while (file >= 0 && bytes) {
        ssize_t written = write(file, from, bytes);
        if (written <= 0) break;
        from += written;
        bytes -= (size_t)written;
    }
    return file < 0 || bytes ? -1 : close(file);
}

static void discard(const char *folder) {
    char path[PATH_MAX];
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, FILES[i].path);
        unlink(path);
        for (char *slash = strrchr(path, '/'); slash > path + strlen(folder); slash = strrchr(path, '/')) {
            *slash = 0;
            rmdir(path);
        }
    }
    rmdir(folder);
}

/* Remove what a start that was killed left beside `folder`: one that still unpacks has its folder locked. */
static void sweep(const char *folder) {
    char parent[PATH_MAX], path[2 * PATH_MAX];
    snprintf(parent, sizeof parent, "%.*s", (int)(strrchr(folder, '/') - folder), folder);
    DIR *all = opendir(parent);
    for (struct dirent *one; all && (one = readdir(all));) {
        if (strncmp(one->d_name, NAME ".", sizeof NAME)) continue;
        snprintf(path, sizeof path, "%s/%s", parent, one->d_name);
        int handle = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (handle < 0) continue;
        if (flock(handle, LOCK_EX | LOCK_NB) == 0) discard(path);
        close(handle);
    }
    if (all) closedir(all);
}

/* A new folder beside `folder`, locked; -1 if it cannot be made. Another's sweep may have met it before its lock. */
static int make_fresh(char *fresh, size_t bytes, const char *folder) {
    struct stat at;
    for (;;) {
        snprintf(fresh, bytes, "%s.XXXXXX", folder);
        if (!mkdtemp(fresh)) return -1;
        int handle = open(fresh, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (handle < 0 && errno != ENOENT) return -1;
        if (handle < 0) continue;
        flock(handle, LOCK_EX);
        if (lstat(fresh, &at) == 0) return handle;
        close(handle);
    }
}

/* What there is to unpack, made once for all places. Ends the program if that cannot be. */
static const unsigned char *unpacked(void) {
    static unsigned char *content;
    if (content) return content;
    content = mmap(NULL, CONTENT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (content == MAP_FAILED) {
        fprintf(stderr, "anabranch: not enough memory to unpack itself\n");
        exit(1);
    }
    size_t bytes = unlzma(content, CONTENT_BYTES, payload, payload_end);
    if (bytes == CONTENT_BYTES) relative(content);
    if (bytes != CONTENT_BYTES || crc32(content) != CONTENT_CRC) {
        fprintf(stderr, "anabranch: this file is damaged: get it anew\n");
        exit(1);
    }
    return content;
}

/* Unpack everything as `folder`; NULL, or why not. */
static const char *unpack(const char *folder) {
    char fresh[PATH_MAX + 8], old[PATH_MAX + 8], path[2 * PATH_MAX];
    sweep(folder);
    const unsigned char *from = unpacked();
    int handle = make_fresh(fresh, sizeof fresh, folder);
    if (handle < 0) return strerror(errno);
    int failed = 0;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES && !failed; i++) {
        snprintf(path, sizeof path, "%s/%s", fresh, FILES[i].path);
        make_parents(path, strlen(fresh) + 1);
        failed = write_file(path, FILES[i].mode, from, FILES[i].bytes);
        from += FILES[i].bytes;
    }
    /* One flush for all, before the name says that it is whole. */
    failed = failed || syncfs(handle);
    if (!failed && rename(fresh, folder) == 0) return NULL;
    int reason = errno;
    if (!failed && !is_whole(folder)) { /* what is there has lost files */
        snprintf(old, sizeof old, "%s.XXXXXX", folder);
        int swapped = mkdtemp(old) && rename(folder, old) == 0 && rename(fresh, folder) == 0;
        reason = errno;
        discard(old);
        if (swapped) return NULL;
    }
    discard(fresh);
    close(handle);
    return is_whole(folder) ? NULL : strerror(reason);
}

/* For the program; what is unpacked is for its user whatever this is. */
static mode_t its_umask;

/* Become the program in `home`/`below`, returns if that place is of no use. */
static void run_from(const char *home, const char *below, char **arguments) {
    char parent[PATH_MAX], folder[PATH_MAX], program[2 * PATH_MAX];
    struct statvfs disk = {0};
    struct stat at;
    const char *reason;
    if (!home || home[0] != '/') return;
    if ((size_t)snprintf(parent, sizeof parent, "%s/%s", home, below) >= sizeof parent) return;
    if ((reason = make_place(parent))) return refuse(parent, reason);
    if (!is_held_beyond_links(parent) || !is_ours(parent)) return refuse(parent, CHANGEABLE);
    if (strlen(parent) >= sizeof parent - sizeof NAME - 32) return refuse(parent, strerror(ENAMETOOLONG));
    statvfs(parent, &disk);
    if (disk.f_flag & ST_NOEXEC) return refuse(parent, "mounted noexec");
    snprintf(folder, sizeof folder, "%.*s/" NAME, (int)(sizeof folder - sizeof NAME - 32), parent);
    /* It may be older than the rights of the folder that it is in. */
    if (lstat(folder, &at) == 0 && !is_ours(folder)) return refuse(folder, CHANGEABLE);
    if (!is_whole(folder)) {
        /* Known beforehand: trying would take what room is left from others, at every start. */
        if (disk.f_flag & ST_RDONLY) return refuse(folder, strerror(EROFS));
        if (disk.f_blocks && disk.f_bavail * disk.f_frsize < CONTENT_BYTES) return refuse(folder, strerror(ENOSPC));
        if ((reason = unpack(folder))) return refuse(folder, reason);
    }
    snprintf(program, sizeof program, "%s/" PROGRAM, folder);
    umask(its_umask);
    execv(program, arguments);
    umask(022);
    refuse(program, strerror(errno));
}

int main(int count, char **arguments) {
    char home[PATH_MAX], mine[32];
    const char *user = getenv("HOME");
    (void)count;
    /* A locale that is named but not installed (a container, ssh's AcceptEnv) would end Python at once. */
    if (!setlocale(LC_ALL, "")) setenv("LC_ALL", setlocale(LC_ALL, "C.UTF-8") ? "C.UTF-8" : "C", 1);
    if (access("/proc/self/exe", F_OK)) {
        fprintf(stderr, "anabranch: /proc is not mounted here, and Python finds its own files through it\n");
        return 1;
    }
    snprintf(mine, sizeof mine, "anabranch-%u", (unsigned)geteuid());
    if (!user || !*user || (size_t)snprintf(home, sizeof home, "%s/.cache", user) >= sizeof home) *home = 0;
    its_umask = umask(022);
    run_from(getenv("CACHE_DIRECTORY"), "anabranch", arguments); /* systemd's */
    run_from(getenv("XDG_CACHE_HOME"), "anabranch", arguments);
    run_from(home, "anabranch", arguments);
    run_from("/var/tmp", mine, arguments);
    run_from("/tmp", mine, arguments);
    fprintf(stderr,
            "anabranch: found no place to unpack itself (%d MB); name a folder of your own in XDG_CACHE_HOME:%s\n",
            (int)(CONTENT_BYTES / 1000000), refusals);
    return 1;
}
