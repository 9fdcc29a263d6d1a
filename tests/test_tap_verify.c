#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "codec/running_hash.h"
#include "tools/tap/tap_certificate.h"

/* What a test feeds goes to this one; the certificate is taken in expect(). */
static struct tap_verify *verify;

static void receive_as(uint32_t reader, uint64_t seq, const char *data)
{
    char text[512];
    int bytes = snprintf(text, sizeof text,
                         "{\"type\":\"quote\",\"symbol\":\"A\",\"ch\":7,\"seq\":%llu,"
                         "\"ts_recv\":1,\"ts_pub\":1,\"data\":%s}",
                         (unsigned long long)seq, data);
    tap_verify_on_frame(verify, reader, (const uint8_t *)text, (size_t)bytes);
}

static void receive(uint32_t reader, uint64_t first, uint64_t last)
{
    for (uint64_t seq = first; seq <= last; seq++) {
        receive_as(reader, seq, "{\"last\":12.30}");
    }
}

static json_int_t number(const json_t *certificate, const char *key)
{
    return json_integer_value(json_object_get(certificate, key));
}

/* Ends the test's verify; the certificate's channel 0 must have this range. */
static void expect(bool is_complete, bool is_one_digest, json_int_t first, json_int_t last)
{
    bool complete;
    json_t *certificate = tap_certificate_make(verify, &complete);
    assert_non_null(certificate);
    json_t *channel = json_array_get(json_object_get(certificate, "channels"), 0);
    assert_int_equal(complete, is_complete);
    assert_int_equal(json_is_true(json_object_get(certificate, "one_digest")), is_one_digest);
    assert_int_equal(number(channel, "first"), first);
    assert_int_equal(number(channel, "last"), last);
    json_decref(certificate);
    tap_verify_destroy(verify);
}

static void begin(uint32_t reader_count)
{
    verify = tap_verify_create(reader_count);
    assert_non_null(verify);
}

static void readers_agree_on_the_range_they_share(void **state)
{
    (void)state;
    begin(3);
    receive(0, 1, 300);
    receive(1, 50, 250);
    receive(2, 90, 310);
    expect(true, true, 90, 250);
}

static void the_digest_does_not_depend_on_who_was_first(void **state)
{
    (void)state;
    char digests[2][80];
    for (uint32_t run = 0; run < 2; run++) {
        bool complete;
        begin(2);
        for (uint64_t step = 0; step < 40; step++) {
            receive(run, step * 100 + 1, step * 100 + 100);
            receive(1 - run, step * 100 + 1, step * 100 + 100);
        }
        json_t *certificate = tap_certificate_make(verify, &complete);
        const char *digest = json_string_value(json_object_get(certificate, "sha256"));
        assert_true(complete);
        snprintf(digests[run], sizeof digests[run], "%s", digest);
        json_decref(certificate);
        tap_verify_destroy(verify);
    }
    assert_string_equal(digests[0], digests[1]);
}

static void one_different_byte_is_found(void **state)
{
    (void)state;
    begin(2);
    receive(0, 1, 9);
    receive(1, 1, 4);
    receive_as(1, 5, "{\"last\":12.31}");
    receive(1, 6, 9);
    expect(false, false, 1, 9);
}

static void an_id_beyond_int64_is_no_fault_of_its_frame(void **state)
{
    (void)state;
    begin(1);
    receive_as(0, 1, "{\"id\":18446744073709551615}");
    expect(true, true, 1, 1);
}

static void a_hole_is_missing(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 4);
    receive(0, 6, 9);
    expect(false, false, 1, 9);
}

static void a_hole_told_by_gap_is_complete_but_not_one_digest(void **state)
{
    (void)state;
    begin(2);
    receive(0, 1, 9);
    receive(1, 1, 4);
    tap_verify_on_gap(verify, 1, 7, 5, 5);
    receive(1, 6, 9);
    expect(true, false, 1, 9);
}

static void a_gap_that_tells_too_little_leaves_a_hole(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 4);
    tap_verify_on_gap(verify, 0, 7, 6, 7);
    receive(0, 8, 9);
    expect(false, false, 1, 9);
}

static void a_gap_over_received_frames_is_a_fault(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 4);
    tap_verify_on_gap(verify, 0, 7, 3, 4);
    expect(false, true, 1, 4);
}

static void a_frame_that_comes_twice_is_a_fault(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 4);
    receive(0, 4, 5);
    expect(false, true, 1, 5);
}

static void the_frame_before_the_promised_one_may_come_first(void **state)
{
    (void)state;
    begin(1);
    tap_verify_on_next_seq(verify, 0, 7, 5);
    receive(0, 4, 9); /* 4 is the snapshot */
    expect(true, true, 4, 9);
}

static void a_promised_frame_that_never_came_is_missing(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 4);
    tap_verify_on_next_seq(verify, 0, 7, 6); /* HEARTBEAT: 5 was published */
    expect(false, false, 1, 5);
}

static void a_reader_that_received_nothing_makes_it_incomplete(void **state)
{
    (void)state;
    begin(2);
    receive(0, 1, 4);
    expect(false, false, 0, 0);
}

static void a_reader_too_far_behind_is_not_called_equal(void **state)
{
    (void)state;
    begin(2);
    receive(1, 1, 1);
    receive(0, 1, 70000);
    receive(1, 2, 70000);
    expect(false, false, 1, 70000);
}

static void two_epochs_are_a_fault(void **state)
{
    (void)state;
    begin(2);
    tap_verify_on_epoch(verify, 0, "a");
    tap_verify_on_epoch(verify, 1, "b");
    receive(0, 1, 4);
    receive(1, 1, 4);
    expect(false, true, 1, 4);
}

static void the_goal_is_what_the_foremost_reader_has(void **state)
{
    (void)state;
    begin(2);
    receive(0, 1, 9);
    receive(1, 1, 4);
    tap_verify_set_goal(verify);
    assert_false(tap_verify_is_at_goal(verify));
    receive(1, 5, 9);
    assert_true(tap_verify_is_at_goal(verify));
    expect(true, true, 1, 9);
}

/* What the server would tell before next_seq, when it told start before first. */
static const char *hash_before(uint64_t start, uint64_t first, uint64_t next_seq)
{
    static char hex[17];
    for (uint64_t seq = first; seq < next_seq; seq++) {
        char text[512];
        int bytes = snprintf(text, sizeof text,
                             "{\"type\":\"quote\",\"symbol\":\"A\",\"ch\":7,\"seq\":%llu,"
                             "\"ts_recv\":1,\"ts_pub\":1,\"data\":{\"last\":12.30}}",
                             (unsigned long long)seq);
        start = running_hash_add(start, running_hash_payload(text, (size_t)bytes));
    }
    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)start);
    return hex;
}

/* Frames that are proven, of how many checks; ends the test's verify. */
static void expect_proven(bool is_proven, json_int_t frames, json_int_t checks, json_int_t faults)
{
    bool complete;
    json_t *certificate = tap_certificate_make(verify, &complete);
    assert_int_equal(json_is_true(json_object_get(certificate, "proven")), is_proven);
    assert_int_equal(number(certificate, "proven_frames"), frames);
    assert_int_equal(number(certificate, "hash_checks"), checks);
    assert_int_equal(number(certificate, "faults"), faults);
    assert_int_equal(complete, faults == 0);
    json_decref(certificate);
    tap_verify_destroy(verify);
}

static void frames_between_two_hashes_are_proven(void **state)
{
    (void)state;
    begin(1);
    receive(0, 4, 4); /* the newest one, before the promised */
    tap_verify_on_hash(verify, 0, 7, 5, "00000000000000ff");
    receive(0, 5, 9);
    tap_verify_set_goal(verify);
    assert_false(tap_verify_is_at_goal(verify));
    assert_true(tap_verify_wants_hash(verify, 0));
    tap_verify_on_hash(verify, 0, 7, 10, hash_before(0xff, 5, 10));
    assert_false(tap_verify_wants_hash(verify, 0));
    assert_true(tap_verify_is_at_goal(verify));
    expect_proven(true, 5, 1, 0);
}

static void a_byte_that_differs_from_the_servers_is_found(void **state)
{
    (void)state;
    begin(1);
    tap_verify_on_hash(verify, 0, 7, 5, "00000000000000ff");
    receive(0, 5, 6);
    receive_as(0, 7, "{\"last\":12.31}");
    receive(0, 8, 9);
    tap_verify_on_hash(verify, 0, 7, 10, hash_before(0xff, 5, 10));
    expect_proven(false, 5, 1, 1);
}

static void a_gap_breaks_the_chain_until_the_next_hash(void **state)
{
    (void)state;
    begin(1);
    tap_verify_on_hash(verify, 0, 7, 1, "0000000000000000");
    receive(0, 1, 4);
    tap_verify_on_gap(verify, 0, 7, 5, 6);
    receive(0, 7, 8);
    tap_verify_on_hash(verify, 0, 7, 9, "000000000000abcd"); /* Taken over; it cannot be checked. */
    receive(0, 9, 9);
    assert_false(tap_verify_wants_hash(verify, 0));
    tap_verify_on_hash(verify, 0, 7, 10, hash_before(0xabcd, 9, 10));
    expect_proven(true, 1, 1, 0);
}

static void without_a_hash_nothing_is_proven(void **state)
{
    (void)state;
    begin(1);
    receive(0, 1, 9);
    tap_verify_set_goal(verify);
    assert_true(tap_verify_is_at_goal(verify)); /* It is not waited for. */
    assert_true(tap_verify_wants_hash(verify, 0));
    expect_proven(false, 0, 0, 0);
}

static void a_hash_that_is_none_is_a_fault(void **state)
{
    static const char *const bad[] = {"", "0", "00000000000000FF", "00000000000000000",
                                      "0x00000000000000"};
    (void)state;
    begin(1);
    receive(0, 1, 9);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        tap_verify_on_hash(verify, 0, 7, 10, bad[i]);
    }
    expect_proven(false, 0, 0, 5);
}

static void json_that_is_none_is_a_fault(void **state)
{
    (void)state;
    begin(1);
    receive_as(0, 1, "{\"last\":}");
    expect(false, true, 1, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_agree_on_the_range_they_share),
        cmocka_unit_test(the_digest_does_not_depend_on_who_was_first),
        cmocka_unit_test(one_different_byte_is_found),
        cmocka_unit_test(an_id_beyond_int64_is_no_fault_of_its_frame),
        cmocka_unit_test(a_hole_is_missing),
        cmocka_unit_test(a_hole_told_by_gap_is_complete_but_not_one_digest),
        cmocka_unit_test(a_gap_that_tells_too_little_leaves_a_hole),
        cmocka_unit_test(a_gap_over_received_frames_is_a_fault),
        cmocka_unit_test(a_frame_that_comes_twice_is_a_fault),
        cmocka_unit_test(the_frame_before_the_promised_one_may_come_first),
        cmocka_unit_test(a_promised_frame_that_never_came_is_missing),
        cmocka_unit_test(a_reader_that_received_nothing_makes_it_incomplete),
        cmocka_unit_test(a_reader_too_far_behind_is_not_called_equal),
        cmocka_unit_test(two_epochs_are_a_fault),
        cmocka_unit_test(the_goal_is_what_the_foremost_reader_has),
        cmocka_unit_test(frames_between_two_hashes_are_proven),
        cmocka_unit_test(a_byte_that_differs_from_the_servers_is_found),
        cmocka_unit_test(a_gap_breaks_the_chain_until_the_next_hash),
        cmocka_unit_test(without_a_hash_nothing_is_proven),
        cmocka_unit_test(a_hash_that_is_none_is_a_fault),
        cmocka_unit_test(json_that_is_none_is_a_fault),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
