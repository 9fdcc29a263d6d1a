#include "tools/insight/stat_screen.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "codec/base/check.h"

/* The second screen, without a cursor and without folding long lines; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME "\033[H"
#define ERASE_LINE "\033[K"
#define ERASE_BELOW "\033[J"

uint32_t stat_screen_rows(void)
{
    struct winsize size;
    return isatty(STDOUT_FILENO) && ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 ? size.ws_row : 0;
}

static void stat_screen_signals(sigset_t *signals_out)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGTSTP, SIGWINCH};
    sigemptyset(signals_out);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        sigaddset(signals_out, numbers[i]);
    }
}

static void stat_screen_send(const char *codes)
{
    fputs(codes, stdout);
    fflush(stdout);
}

int stat_screen_open(void)
{
    sigset_t signals;
    stat_screen_signals(&signals);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    int signal_fd = signalfd(-1, &signals, SFD_CLOEXEC);
    if (signal_fd >= 0) {
        stat_screen_send(ENTER);
    }
    return signal_fd;
}

void stat_screen_close(int signal_fd)
{
    sigset_t signals;
    assert_always(signal_fd >= 0);
    stat_screen_send(LEAVE);
    close(signal_fd);
    stat_screen_signals(&signals);
    sigprocmask(SIG_UNBLOCK, &signals, NULL);
}

void stat_screen_draw(const char *text, size_t text_bytes)
{
    const char *end = text + text_bytes;
    uint32_t rows = stat_screen_rows();
    fputs(HOME, stdout);
    for (uint32_t row = 0; text < end && row < rows; row++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        size_t bytes = (size_t)((newline == NULL ? end : newline) - text);
        printf("%s" ERASE_LINE "%.*s", row == 0 ? "" : "\r\n", (int)bytes, text);
        text += bytes + (newline != NULL);
    }
    stat_screen_send(ERASE_BELOW);
}

bool stat_screen_on_signal(int signal_fd)
{
    struct signalfd_siginfo info;
    assert_always(signal_fd >= 0);
    if (read(signal_fd, &info, sizeof info) != (ssize_t)sizeof info) {
        return false;
    }
    if (info.ssi_signo == SIGTSTP) {
        stat_screen_send(LEAVE);
        raise(SIGSTOP);
        stat_screen_send(ENTER); /* The shell has put us to the foreground again. */
    }
    return info.ssi_signo == SIGTSTP || info.ssi_signo == SIGWINCH;
}
