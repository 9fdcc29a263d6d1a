#include "ring/link/receiver.h"

#include <errno.h>

#include "codec/base/check.h"
#include "ring/link/input.h"
#include "ring/link/securing.h"
#include "ring/link/tls_in.h"

static void receiver_on_bytes(struct links *links, struct link *link, uint8_t *bytes, size_t count)
{
    counter_add(&links->counters->bytes_in, count);
    if (link->is_tls) {
        tls_in_on_bytes(links, link, bytes, count);
    } else {
        input_on_bytes(links, link, bytes, count);
    }
}

void receiver_on_recv(struct links *links, struct link *link, const struct io_uring_cqe *cqe)
{
    if (link->stage == LINK_SECURING) {
        securing_on_recv(links, link, cqe);
        return;
    }
    bool more = (cqe->flags & IORING_CQE_F_MORE) != 0;
    link->recv_armed = more;
    if (cqe->res > 0 && (cqe->flags & IORING_CQE_F_BUFFER) == 0) {
        assert_always(!link_is_open(link)); /* It was asked for in LINK_SECURING. */
    } else if (cqe->res > 0) {
        if (link_is_open(link)) {
            receiver_on_bytes(links, link, engine_recv_bytes(&links->engine, cqe),
                              (size_t)cqe->res);
        }
        engine_give_back(&links->engine, cqe);
    } else if (cqe->res == 0 && link->stage == LINK_CLOSING &&
               links_waiting_bytes(links, link) > 0) {
        link->close_received = true; /* It may have shut its own half only, and reads the answer. */
    } else if (cqe->res == 0) {
        link_doom(links, link, 0, "closed by the peer");
    } else if (cqe->res == -ENOBUFS) {
        counter_add(&links->counters->recv_no_buffer, 1);
    } else if (cqe->res != -ECANCELED) {
        link_doom(links, link, 0, cqe->res == -ECONNRESET ? "reset by the peer" : "receive failed");
    }
    if (cqe->res != 0 || !link->close_received) {
        input_receive(links, link);
    }
}
