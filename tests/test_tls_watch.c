#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "codec/base/units.h"
#include "src/tls/tls_context.h"
#include "src/tls/tls_files.h"
#include "src/tls/tls_watch.h"
#include "tests/tls_maker.h"

static struct tls_maker_certificate old_pair;
static struct tls_maker_certificate new_pair;
static struct tls_options options;
static struct tls_watch watch;
static uint64_t loaded_stamp;
static bool is_refused; /* what reloads are */
static uint64_t now_ns;

static void write_chain(const struct tls_maker_certificate *pair)
{
    (void)tls_maker_write("fresh.pem", pair->x509, NULL, NULL);
    assert_int_equal(rename(tls_maker_path("fresh.pem"), tls_maker_path("chain.pem")), 0);
}

static void write_key(const struct tls_maker_certificate *pair)
{
    (void)tls_maker_write("fresh.key", NULL, NULL, pair->key);
    assert_int_equal(rename(tls_maker_path("fresh.key"), tls_maker_path("key.pem")), 0);
}

/* Seconds go by; returns how many reloads were asked for. */
static uint32_t pass(uint32_t seconds)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < seconds; i++) {
        now_ns += NS_PER_SECOND;
        bool is_asked = tls_watch_look(&watch, &options, loaded_stamp, now_ns);
        if (is_asked && !is_refused) {
            loaded_stamp = tls_files_stamp(&options);
        }
        count += is_asked;
    }
    return count;
}

static int set_up(void **state)
{
    (void)state;
    static char chain[TLS_MAKER_PATH_BYTES];
    static char key[TLS_MAKER_PATH_BYTES];
    write_chain(&old_pair);
    write_key(&old_pair);
    snprintf(chain, sizeof chain, "%s", tls_maker_path("chain.pem"));
    snprintf(key, sizeof key, "%s", tls_maker_path("key.pem"));
    options = (struct tls_options){.certificates = {{.chain = chain, .key = key}},
                                   .certificate_count = 1};
    now_ns = 1000 * NS_PER_SECOND;
    watch = (struct tls_watch){.looked_ns = now_ns};
    loaded_stamp = tls_files_stamp(&options);
    is_refused = false;
    return 0;
}

/* ---- Tests ---- */

static void files_that_stay_cause_nothing(void **state)
{
    (void)state;
    assert_int_equal(pass(1000), 0);
}

static void new_files_are_noticed_within_five_seconds(void **state)
{
    (void)state;
    write_key(&new_pair);
    write_chain(&new_pair);
    assert_int_equal(pass(5), 1);
    assert_int_equal(pass(1000), 0);
}

static void a_pair_that_does_not_match_yet_is_waited_for(void **state)
{
    (void)state;
    write_chain(&new_pair);
    assert_int_equal(pass(30), 0);
    write_key(&new_pair);
    assert_int_equal(pass(5), 1);
    assert_int_equal(pass(1000), 0);
}

static void a_pair_that_does_not_match_is_an_error_after_30_seconds(void **state)
{
    (void)state;
    is_refused = true;
    write_chain(&new_pair);
    assert_int_equal(pass(34), 0);
    assert_int_equal(pass(1), 1); /* 5 s until it was noticed, and 30 */
    assert_int_equal(pass(600), 0);
    assert_in_range(pass(40), 1, 1); /* It is said again after ten minutes. */
    is_refused = false;
    write_key(&new_pair);
    assert_int_equal(pass(5), 1); /* What has changed again is tried at once. */
}

static void a_file_that_is_gone_and_comes_back_causes_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(unlink(tls_maker_path("key.pem")), 0);
    assert_int_equal(pass(30), 0);
    write_key(&old_pair);
    assert_int_equal(pass(5), 1);
    assert_int_equal(pass(1000), 0);
}

/* For a configuration whose other parts are wrong. */
static void a_reload_that_was_refused_is_asked_for_again(void **state)
{
    (void)state;
    is_refused = true;
    write_key(&new_pair);
    write_chain(&new_pair);
    assert_int_equal(pass(5), 1);
    assert_int_equal(pass(599), 0);
    assert_int_equal(pass(6), 1);
    is_refused = false;
    assert_int_equal(pass(605), 1);
    assert_int_equal(pass(1000), 0);
}

static int make_files(void **state)
{
    (void)state;
    tls_maker_open();
    old_pair = tls_maker_issue(&(struct tls_maker_spec){.subject = "old", .names = "DNS:a.test"});
    new_pair = tls_maker_issue(&(struct tls_maker_spec){.subject = "new", .names = "DNS:a.test"});
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    tls_maker_free(&old_pair);
    tls_maker_free(&new_pair);
    tls_maker_close();
    return 0;
}

#define WITH_FILES(test) cmocka_unit_test_setup(test, set_up)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_FILES(files_that_stay_cause_nothing),
        WITH_FILES(new_files_are_noticed_within_five_seconds),
        WITH_FILES(a_pair_that_does_not_match_yet_is_waited_for),
        WITH_FILES(a_pair_that_does_not_match_is_an_error_after_30_seconds),
        WITH_FILES(a_file_that_is_gone_and_comes_back_causes_nothing_else),
        WITH_FILES(a_reload_that_was_refused_is_asked_for_again),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
