#include "src/session/session_books.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "src/session/session_answer.h"
#include "src/session/session_client.h"
#include "src/session/session_limits.h"

/* That a client may take for a part; for a whole book when others wait for room. */
#define SESSION_BOOKS_NS_MAX (10 * NS_PER_SECOND)

/* A book that is asked for, until all of it was sent. */
struct session_book {
    uint32_t conn;
    uint32_t slot; /* of book_images; BOOK_IMAGES_NONE: another of this client goes first */
    uint32_t channel;
    uint32_t sent; /* parts */
    uint64_t session_number;
    uint64_t taken_ns;                    /* when the client last took something of a book */
    uint64_t begun_ns;                    /* when it was answered */
    bool is_due, is_answered, is_dropped; /* no other goes first; dropped by a smaller scope */
    char id[REQUEST_ECHO_TEXT_BYTES_MAX];
};

struct session_books {
    uint32_t count;
    struct session_book list[BOOK_IMAGES_MAX]; /* in the order they were asked for */
};

int session_books_create(struct sessions *sessions)
{
    sessions->books = calloc(1, sizeof *sessions->books);
    return sessions->books == NULL ? -ENOMEM : 0;
}

void session_books_destroy(struct sessions *sessions)
{
    free(sessions->books);
}

void session_books_ask(struct session_call *call, const struct session_name *name, uint32_t channel)
{
    struct sessions *sessions = call->sessions;
    if (sessions->options.book_images == NULL) {
        session_answer_refuse(call, name, PROTOCOL_NOT_OFFERED, "there are no snapshots of depth");
        return;
    }
    bool is_full =
        !session_limits_has_book_room(call->session) || sessions->books->count == BOOK_IMAGES_MAX;
    bool is_first = call->session->use.book_count == 0;
    /* One is made at a time: a client that does not read keeps no more of them. */
    uint32_t slot = is_full || !is_first ? BOOK_IMAGES_NONE
                                         : book_images_ask(sessions->options.book_images, channel);
    if (is_full || (slot == BOOK_IMAGES_NONE && is_first)) {
        session_answer_refuse(
            call, name, PROTOCOL_LIMIT_EXCEEDED,
            "16 books are being sent to this client, or too many to all clients; try again later");
        return;
    }
    assert_always(sessions->books->count < BOOK_IMAGES_MAX);
    struct session_book *book = &sessions->books->list[sessions->books->count++];
    *book = (struct session_book){
        .conn = call->conn,
        .session_number = call->session->number,
        .slot = slot,
        .channel = channel,
    };
    memcpy(book->id, call->request->id, sizeof book->id);
    session_limits_count_book(call->session, 1);
    call->book_count++;
}

/* A SNAPSHOT of this book alone, with the id of the request. */
static void session_books_answer(struct session_call *call, const struct session_book *book,
                                 const struct book_image *image)
{
    struct reply *reply = &call->sessions->reply;
    struct session_name name =
        session_name_of_channel(channels_get(call->sessions->options.channels, book->channel));
    struct request request = {0};
    memcpy(request.id, book->id, sizeof request.id);
    call->request = &request;
    session_answer_begin(call, "SNAPSHOT");
    if (session_limits_is_forbidden(call, &name)) {
        /* The token has changed since it asked. */
    } else if (image->error == -ENODATA) {
        session_answer_refuse(
            call, &name, PROTOCOL_NOT_AVAILABLE,
            "there is no complete book: the feed has sent no snapshot, or has lost data since");
    } else if (image->error != 0) {
        session_answer_refuse(call, &name, PROTOCOL_LIMIT_EXCEEDED,
                              "the server has no room for it");
    } else {
        session_answer_channel(reply, &name, book->channel);
        reply_text(reply, ",\"as_of\":");
        reply_u64(reply, image->as_of);
        reply_text(reply, ",\"parts\":");
        reply_u64(reply, image->part_count);
        reply_text(reply, "}");
    }
    session_answer_end(call);
}

/* Whether the client is still there, and may see it. */
static bool session_books_are_wanted(const struct session_call *call,
                                     const struct session_book *book)
{
    struct session_name name =
        session_name_of_channel(channels_get(call->sessions->options.channels, book->channel));
    return call->session->number == book->session_number && !book->is_dropped &&
           scope_covers(session_client_scope(call->sessions, call->conn), name.text, name.bytes,
                        name.type);
}

void session_books_shrink(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    for (uint32_t i = 0; i < sessions->books->count; i++) {
        struct session_book *book = &sessions->books->list[i];
        bool is_of_this = book->conn == call->conn && book->session_number == call->session->number;
        if (is_of_this && book->is_answered && !book->is_dropped &&
            !session_books_are_wanted(call, book)) {
            const struct channel *channel = channels_get(sessions->options.channels, book->channel);
            struct session_name name = session_name_of_channel(channel);
            session_answer_dropped(call, &name);
            book->is_dropped = true; /* A wider scope does not bring it back. */
        }
    }
}

/* Several books of a client wait for one another. */
static void session_books_note_taken(struct session_call *call)
{
    struct sessions *sessions = call->sessions;
    for (uint32_t i = 0; i < sessions->books->count; i++) {
        if (sessions->books->list[i].conn == call->conn) {
            sessions->books->list[i].taken_ns = call->now_ns;
        }
    }
}

static bool session_books_take_too_long(const struct session_call *call,
                                        const struct session_book *book)
{
    const struct sessions *sessions = call->sessions;
    bool is_scarce = sessions->books->count == BOOK_IMAGES_MAX ||
                     book_images_are_full(sessions->options.book_images);
    return call->now_ns - book->taken_ns >= SESSION_BOOKS_NS_MAX ||
           (is_scarce && call->now_ns - book->begun_ns >= SESSION_BOOKS_NS_MAX);
}

/* The place of the next book that the same client waits for, or the count. */
static uint32_t session_books_next(const struct sessions *sessions, uint32_t place)
{
    uint64_t number = sessions->books->list[place].session_number;
    do {
        place++;
    } while (place < sessions->books->count &&
             sessions->books->list[place].session_number != number);
    return place;
}

/* NULL: not yet. */
static const struct book_image *session_books_image(const struct session_call *call,
                                                    const struct session_book *book)
{
    static const struct book_image no_room = {.error = -ENOMEM};
    bool is_gone = call->session->number != book->session_number;
    if (book->slot != BOOK_IMAGES_NONE) {
        return book_images_get(call->sessions->options.book_images, book->slot);
    }
    return book->is_due || is_gone ? &no_room : NULL;
}

/* true: it is done with. */
static bool session_books_send(struct session_call *call, struct session_book *book)
{
    const struct book_image *image = session_books_image(call, book);
    if (image == NULL) {
        return false;
    }
    if (!book->is_answered && call->session->number == book->session_number) {
        session_books_answer(call, book, image);
        book->is_answered = true;
        book->begun_ns = call->now_ns;
        session_books_note_taken(call);
    }
    while (book->sent < image->part_count && session_books_are_wanted(call, book)) {
        if (!core_has_drained(call->core, call->conn)) {
            if (!session_books_take_too_long(call, book)) {
                return false;
            }
            counter_add(&call->sessions->options.counters->closed_slow, 1);
            core_close(call->core, call->conn, 4108, "slow;a book is not read");
            break;
        }
        session_books_note_taken(call);
        uint32_t begin = book->sent == 0 ? 0 : image->ends[book->sent - 1];
        uint32_t end = image->ends[book->sent++];
        assert_always(begin <= end);
        core_send_raw(call->core, call->conn, image->bytes + begin, end - begin);
    }
    if (book->slot != BOOK_IMAGES_NONE) {
        book_images_release(call->sessions->options.book_images, book->slot);
    }
    return true;
}

/* Takes it off the list, in order: what one client asked for comes as it asked. */
static void session_books_end(struct session_call *call, uint32_t place)
{
    struct sessions *sessions = call->sessions;
    struct session_book *book = &sessions->books->list[place];
    assert_always(place < sessions->books->count);
    uint32_t next = session_books_next(sessions, place);
    if (next < sessions->books->count && call->session->number == book->session_number) {
        struct session_book *due = &sessions->books->list[next];
        due->is_due = true;
        due->slot = book_images_ask(sessions->options.book_images, due->channel);
    }
    if (call->session->number == book->session_number) {
        session_limits_count_book(call->session, -1);
    }
    sessions->books->count--;
    memmove(book, book + 1, (sessions->books->count - place) * sizeof *book);
}

void session_books_on_turn(void *context, struct core *core, uint64_t now_ns)
{
    struct sessions *sessions = context;
    for (uint32_t i = 0; i < sessions->books->count;) {
        struct session_book *book = &sessions->books->list[i];
        struct session_call call = {
            .sessions = sessions,
            .session = session_of(sessions, book->conn),
            .core = core,
            .conn = book->conn,
            .now_ns = now_ns,
        };
        if (session_books_send(&call, book)) {
            session_books_end(&call, i);
        } else {
            i++;
        }
    }
}
