#include "tools/tap/tap_cursor_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec/base/check.h"
#include "tools/common/control_reply.h"
#include "tools/tap/tap_cursor.h"
#include "tools/tap/tap_options.h"

#define VERSION 1

struct tap_cursor_place *tap_cursor_state_find(struct tap_cursor_state *state, uint64_t channel)
{
    return channel < state->place_count ? &state->places[channel] : NULL;
}

struct tap_cursor_place *tap_cursor_state_open(struct tap_cursor_state *state, uint64_t channel)
{
    if (channel < state->place_count) {
        return &state->places[channel];
    }
    if (channel >= TAP_CURSOR_CHANNELS_MAX) {
        return NULL;
    }
    uint32_t count = (uint32_t)channel + (uint32_t)channel / 2 + 16;
    struct tap_cursor_place *places = realloc(state->places, count * sizeof *places);
    if (places == NULL) {
        return NULL;
    }
    memset(places + state->place_count, 0, (count - state->place_count) * sizeof *places);
    state->places = places;
    state->place_count = count;
    assert_always(channel < state->place_count);
    return &state->places[channel];
}

/* The inside of a JSON string; "" if it is too long or is not plain text. */
static void tap_cursor_file_copy(char *out, size_t out_bytes, const char *text, size_t text_bytes)
{
    size_t used = 0;
    while (used < text_bytes && (unsigned char)text[used] >= ' ') {
        used++;
    }
    bool fits = used == text_bytes && text_bytes < out_bytes;
    assert_always(out_bytes > 0);
    memcpy(out, text, fits ? text_bytes : 0);
    out[fits ? text_bytes : 0] = '\0';
}

void tap_cursor_place_name(struct tap_cursor_place *place, const struct tap_tick *tick)
{
    if (place->symbol[0] == '\0') {
        tap_cursor_file_copy(place->symbol, sizeof place->symbol, tick->symbol.text,
                             tick->symbol.bytes);
        tap_cursor_file_copy(place->type, sizeof place->type, tick->type.text, tick->type.bytes);
    }
}

void tap_cursor_place_forget(struct tap_cursor_place *place)
{
    *place = (struct tap_cursor_place){0};
}

void tap_cursor_state_forget(struct tap_cursor_state *state)
{
    for (uint32_t i = 0; i < state->place_count; i++) {
        tap_cursor_place_forget(&state->places[i]);
    }
}

void tap_cursor_state_clear(struct tap_cursor_state *state)
{
    if (state->path != NULL) {
        close(state->lock_fd);
    }
    free(state->path);
    free(state->places);
    *state = (struct tap_cursor_state){0};
}

/* ---- Reading ---- */

static int tap_cursor_file_damaged(const char *path, const char *reason)
{
    fprintf(stderr,
            "ringcast-tap: --resume: %s is no cursor file, or is damaged (%s). To begin anew "
            "without what was missed, remove it\n",
            path, reason);
    return TAP_EXIT_USAGE;
}

bool tap_cursor_file_is_epoch(const char *text)
{
    static const char plain[] = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-_";
    return text != NULL && text[0] != '\0' && strlen(text) < TAP_CURSOR_EPOCH_BYTES_MAX &&
           strspn(text, plain) == strlen(text);
}

/* The inside of a JSON string; false: it is not a string, or too long. */
static bool tap_cursor_file_text(const json_t *value, char *out, size_t out_bytes)
{
    char *text = json_is_string(value) ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    size_t text_bytes = text == NULL ? 0 : strlen(text);
    out[0] = '\0';
    if (text_bytes >= 2) {
        tap_cursor_file_copy(out, out_bytes, text + 1, text_bytes - 2);
    }
    free(text);
    return text_bytes == 2 || out[0] != '\0';
}

bool tap_cursor_place_name_as(struct tap_cursor_place *place, const json_t *entry)
{
    return tap_cursor_file_text(json_object_get(entry, "symbol"), place->symbol,
                                sizeof place->symbol) &&
           tap_cursor_file_text(json_object_get(entry, "type"), place->type, sizeof place->type);
}

static bool tap_cursor_file_load_place(struct tap_cursor_state *state, const json_t *entry)
{
    uint64_t channel;
    uint64_t seq;
    if (!control_reply_u64(entry, "ch", &channel) || !control_reply_u64(entry, "seq", &seq)) {
        return false;
    }
    struct tap_cursor_place *place = tap_cursor_state_open(state, channel);
    if (place == NULL || place->is_known) {
        return false;
    }
    place->is_known = true;
    place->is_from_beginning = seq == 0;
    place->seq = seq;
    return tap_cursor_place_name_as(place, entry);
}

/* The options of a subscription, as a file has them. */
static json_t *tap_cursor_file_subscription(const struct ws_client_subscription *subscription)
{
    return json_pack("{s:s,s:s,s:i,s:s,s:i}", "symbols", subscription->symbols, "types",
                     subscription->types, "depth", (int)subscription->depth, "bar",
                     subscription->bar == NULL ? "" : subscription->bar, "interval_ms",
                     (int)subscription->interval_ms);
}

static bool tap_cursor_file_is_of(const json_t *root,
                                  const struct ws_client_subscription *subscription)
{
    const char *key;
    const json_t *value;
    bool is_same = true;
    json_t *wanted = tap_cursor_file_subscription(subscription);
    json_object_foreach(wanted, key, value)
    {
        is_same = is_same && json_equal(value, json_object_get(root, key));
    }
    json_decref(wanted);
    return is_same && wanted != NULL;
}

static int tap_cursor_file_parse(struct tap_cursor_state *state, const json_t *root,
                                 const char *path,
                                 const struct ws_client_subscription *subscription)
{
    size_t index;
    uint64_t version;
    const json_t *entry;
    const json_t *channels = json_object_get(root, "channels");
    const char *epoch = json_string_value(json_object_get(root, "epoch"));
    if (!control_reply_u64(root, "ringcast_cursor", &version)) {
        return tap_cursor_file_damaged(path, "it has no ringcast_cursor");
    }
    if (version != VERSION) {
        return tap_cursor_file_damaged(path, "its ringcast_cursor is not 1");
    }
    if (!tap_cursor_file_is_epoch(epoch) || !control_reply_u64(root, "since", &state->since_ns) ||
        !json_is_array(channels)) {
        return tap_cursor_file_damaged(path, "epoch, since or channels is missing or wrong");
    }
    if (!tap_cursor_file_is_of(root, subscription)) {
        fprintf(stderr,
                "ringcast-tap: --resume: %s belongs to another subscription (--symbols %s --types "
                "%s). Use the same options as when it was made, or another file\n",
                path, json_string_value(json_object_get(root, "symbols")),
                json_string_value(json_object_get(root, "types")));
        return TAP_EXIT_USAGE;
    }
    strcpy(state->epoch, epoch);
    json_array_foreach(channels, index, entry)
    {
        if (!tap_cursor_file_load_place(state, entry)) {
            return tap_cursor_file_damaged(path, "an entry of channels is wrong");
        }
    }
    return TAP_EXIT_DONE;
}

/* Opens the file and locks it, so that no other ringcast-tap writes it. The file may be replaced
 * before it is locked: then the new one is opened. A descriptor, or -1 and *error_out. */
static int tap_cursor_file_lock(const char *path, int *error_out)
{
    struct stat locked, named;
    for (;;) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
        if (fd < 0 || fstat(fd, &locked) != 0 ||
            (flock(fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)) {
            *error_out = errno;
            if (fd >= 0) {
                close(fd);
            }
            return -1;
        }
        if (stat(path, &named) == 0 && named.st_ino == locked.st_ino &&
            named.st_dev == locked.st_dev) {
            return fd;
        }
        close(fd);
    }
}

/* Locks the file and finds its own name, if path is a symbolic link. */
static int tap_cursor_file_open(struct tap_cursor_state *state, const char *path)
{
    int error = 0;
    int fd = tap_cursor_file_lock(path, &error);
    if (fd < 0 && error == EWOULDBLOCK) {
        fprintf(stderr, "ringcast-tap: --resume: another ringcast-tap uses %s\n", path);
        return TAP_EXIT_OUTPUT;
    }
    char *own_path = fd < 0 ? NULL : realpath(path, NULL);
    if (own_path == NULL) {
        fprintf(stderr, "ringcast-tap: --resume: cannot write %s: %s\n", path,
                strerror(fd < 0 ? error : errno));
        if (fd >= 0) {
            close(fd);
        }
        return TAP_EXIT_OUTPUT;
    }
    state->path = own_path;
    state->lock_fd = fd;
    return TAP_EXIT_DONE;
}

int tap_cursor_file_load(struct tap_cursor_state *state, const char *path,
                         const struct ws_client_subscription *subscription)
{
    json_error_t fault;
    struct stat status;
    int exit_code = tap_cursor_file_open(state, path);
    if (exit_code != TAP_EXIT_DONE) {
        return exit_code;
    }
    if (fstat(state->lock_fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        fprintf(stderr, "ringcast-tap: --resume: %s is no regular file\n", path);
        return TAP_EXIT_USAGE;
    }
    if (status.st_size == 0) {
        return TAP_EXIT_DONE;
    }
    json_t *root = json_loadfd(state->lock_fd, JSON_REJECT_DUPLICATES, &fault);
    exit_code = root == NULL ? tap_cursor_file_damaged(path, fault.text)
                             : tap_cursor_file_parse(state, root, path, subscription);
    json_decref(root);
    return exit_code;
}

/* ---- Writing ---- */

static bool tap_cursor_file_write(const struct tap_cursor_state *state, FILE *file,
                                  const struct ws_client_subscription *subscription)
{
    json_t *object = tap_cursor_file_subscription(subscription);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    if (text == NULL) {
        return false;
    }
    text[strlen(text) - 1] = '\0'; /* Further keys follow, instead of the last brace. */
    fprintf(file,
            "{\"ringcast_cursor\":%d,\"epoch\":\"%s\",\"since\":%" PRIu64
            ",\n %s,\n \"channels\":[",
            VERSION, state->epoch, state->since_ns, text + 1);
    free(text);
    const char *comma = "";
    for (uint32_t i = 0; i < state->place_count; i++) {
        const struct tap_cursor_place *place = &state->places[i];
        if (place->is_known || place->live_seq > 0) {
            uint64_t seq = place->is_known ? place->seq : place->live_seq - 1;
            fprintf(file, "%s\n {\"ch\":%u,\"seq\":%" PRIu64 ",\"symbol\":\"%s\",\"type\":\"%s\"}",
                    comma, i, seq, place->symbol, place->type);
            comma = ",";
        }
    }
    fputs("]}\n", file);
    return !ferror(file);
}

/* Replaces the file by the new one, which becomes the locked one. 0 or an errno. */
static int tap_cursor_file_replace(struct tap_cursor_state *state, const char *new_path, int new_fd)
{
    if (new_fd < 0 || (flock(new_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) ||
        rename(new_path, state->path) != 0) {
        return errno;
    }
    close(state->lock_fd);
    state->lock_fd = new_fd;
    return 0;
}

bool tap_cursor_file_save(struct tap_cursor_state *state,
                          const struct ws_client_subscription *subscription)
{
    char *new_path = NULL;
    int error = asprintf(&new_path, "%s.new", state->path) < 0 ? ENOMEM : 0;
    FILE *file = error == 0 ? fopen(new_path, "we") : NULL;
    if (error == 0 && file == NULL) {
        error = errno;
    }
    if (file != NULL) {
        error = tap_cursor_file_write(state, file, subscription) ? 0 : errno;
        int new_fd = fcntl(fileno(file), F_DUPFD_CLOEXEC, 0);
        error = fclose(file) != 0 && error == 0 ? errno : error;
        error = error == 0 ? tap_cursor_file_replace(state, new_path, new_fd) : error;
        if (error != 0) {
            (void)unlink(new_path);
            close(new_fd);
        }
    }
    if (error != 0) {
        fprintf(stderr, "ringcast-tap: --resume: cannot write %s: %s\n", state->path,
                strerror(error));
    }
    free(new_path);
    return error == 0;
}
