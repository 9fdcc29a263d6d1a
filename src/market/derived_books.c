#include "src/market/derived_books.h"

#include <stdlib.h>

#include "codec/base/check.h"

void derived_books_tell(struct derived_core *core, struct derived_variant *variant)
{
    const struct derived_book *kept = core->books[variant->source->channel];
    assert_always(variant->cut != NULL);
    assert_debug(variant->frame_count < DERIVED_CHECKSUM_FRAMES);
    if (kept == NULL || !kept->book.is_whole) {
        return;
    }
    struct md_update update = {
        .type = MD_DEPTH,
        .ts_event_ns = kept->ts_event_ns,
        .ts_recv_ns = kept->ts_recv_ns,
    };
    bool owes_now = variant->owes_snapshot && core->now_ns >= variant->ready_ns;
    bool has_changed = book_cut_update(variant->cut, &kept->book, &core->changes, &update.depth);
    if (!has_changed && !owes_now) {
        return;
    }
    bool is_image = owes_now || variant->what.interval_ms != 0;
    if (is_image) {
        book_cut_image(variant->cut, &update.depth);
        variant->owes_snapshot = false;
        variant->ready_ns =
            core->now_ns + (variant->what.interval_ms != 0 ? variant->what.interval_ms * NS_PER_MS
                                                           : DERIVED_SNAPSHOT_NS);
    }
    if (is_image || ++variant->frame_count == DERIVED_CHECKSUM_FRAMES) {
        update.depth.has_checksum = true;
        update.depth.checksum = book_checksum(variant->cut);
        variant->frame_count = 0;
    }
    derived_core_publish(core, variant, is_image ? FRAME_FULL_IMAGE : 0, &update);
}

/* The book of a channel, made with its first snapshot; NULL: there was none, or no memory. */
static struct derived_book *derived_books_of(struct derived_core *core,
                                             const struct md_update *update)
{
    struct derived_book *kept = core->books[update->channel];
    if (kept == NULL && update->depth.action == MD_SNAPSHOT) {
        kept = malloc(sizeof *kept);
        if (kept != NULL) {
            book_init(&kept->book);
        }
        core->books[update->channel] = kept;
    }
    return kept;
}

void derived_books_keep(struct derived_core *core, const struct md_update *update)
{
    assert_always(update->type == MD_DEPTH);
    struct derived_book *kept = derived_books_of(core, update);
    bool is_kept = kept != NULL || update->depth.action == MD_DELTA;
    if (kept != NULL) {
        is_kept = book_apply(&kept->book, &update->depth);
        kept->ts_event_ns = update->ts_event_ns;
        kept->ts_recv_ns = update->ts_recv_ns;
    }
    if (!is_kept && !core->has_complained) {
        core->has_complained = true;
        derived_core_complain(
            core, "no memory for a book; the channels derived from it wait for its next snapshot");
    }
}
