/* SPDX-License-Identifier: LGPL-2.1-only */
/*
 * as USER COMMAND [ARG...]: run COMMAND as USER with exactly the groups of /etc/group, no capability,
 * USER's HOME and the caller's folder. It reads the two files itself so that it can be linked statically.
 * Exit status 125: it could not become USER.
 */
#include <err.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define FAILED 125
#define MAX_GROUPS 64

static struct passwd *find_user(const char *name)
{
    struct passwd *pw;
    FILE *f = fopen("/etc/passwd", "re");

    if (!f)
        err(FAILED, "/etc/passwd");
    while ((pw = fgetpwent(f)) && strcmp(pw->pw_name, name))
        ;
    fclose(f);
    if (!pw)
        errx(FAILED, "no user %s in /etc/passwd", name);
    return pw;
}

static int groups_of(const struct passwd *pw, gid_t *gids)
{
    struct group *gr;
    int nr = 0;
    FILE *f = fopen("/etc/group", "re");

    if (!f)
        err(FAILED, "/etc/group");
    gids[nr++] = pw->pw_gid;
    while ((gr = fgetgrent(f))) {
        for (char **member = gr->gr_mem; *member; member++) {
            if (strcmp(*member, pw->pw_name) || gr->gr_gid == pw->pw_gid)
                continue;
            if (nr == MAX_GROUPS)
                errx(FAILED, "%s has more than %d groups", pw->pw_name, MAX_GROUPS);
            gids[nr++] = gr->gr_gid;
        }
    }
    fclose(f);
    return nr;
}

int main(int argc, char **argv)
{
    gid_t gids[MAX_GROUPS];
    struct passwd *pw;
    int nr;

    if (argc < 3)
        errx(FAILED, "usage: as USER COMMAND [ARG...]");
    pw = find_user(argv[1]);
    nr = groups_of(pw, gids);
    if (setenv("USER", pw->pw_name, 1) || setenv("LOGNAME", pw->pw_name, 1) ||
        setenv("HOME", pw->pw_dir, 1))
        err(FAILED, "setenv");
    /* From root the three ids go at once, and with them every capability. */
    if (setgroups(nr, gids) || setresgid(pw->pw_gid, pw->pw_gid, pw->pw_gid) ||
        setresuid(pw->pw_uid, pw->pw_uid, pw->pw_uid))
        err(FAILED, "become %s", argv[1]);
    execvp(argv[2], argv + 2);
    err(127, "%s", argv[2]);
}
