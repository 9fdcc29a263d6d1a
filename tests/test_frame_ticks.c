#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json_tick.h"
#include "feeds/frame_ticks.h"

#define TEXT_BYTES_MAX 1000

static int set_up(void **state)
{
    return frame_ticks_create((struct frame_ticks **)state);
}

static int tear_down(void **state)
{
    frame_ticks_destroy(*state);
    return 0;
}

/* In a heap block of its exact size, so that a read behind it is caught. Single quotes in text
 * stand for double ones. */
static enum frame_ticks_status parse(struct frame_ticks *frames, const char *text,
                                     struct frame_tick *tick_out)
{
    size_t bytes = strlen(text);
    char *exact = malloc(bytes + (bytes == 0));
    for (size_t i = 0; i < bytes; i++) {
        exact[i] = text[i];
        if (text[i] == '\'') {
            exact[i] = '"';
        }
    }
    enum frame_ticks_status status = frame_ticks_parse(frames, exact, bytes, tick_out);
    free(exact);
    return status;
}

/* The tick as the server would send it on channel 5 with ts_pub 9, with single quotes. */
static const char *encode(const struct frame_tick *tick, char text[TEXT_BYTES_MAX])
{
    struct json_tick_head head;
    json_tick_head_init(&head, tick->update.type, tick->symbol, tick->symbol_bytes, 5);
    size_t bytes =
        json_tick_encode((uint8_t *)text, TEXT_BYTES_MAX - 1, &head, &tick->update, tick->seq, 9);
    assert_true(bytes > 0);
    text[bytes] = '\0';
    for (char *at = text; *at != '\0'; at++) {
        *at = *at == '"' ? '\'' : *at;
    }
    return text;
}

static void what_the_server_writes_is_read_and_written_the_same(void **state)
{
    static const char *const texts[] = {
        "{'type':'quote','symbol':'000001.SZ','ch':5,'seq':58211,'ts_event':1732078800123456789,"
        "'ts_pub':9,'data':{'last':12.34,'open':12.30,'high':12.40,'low':12.25,'prev_close':12.31,"
        "'volume':123456,'turnover':1523456.78,'bids':[[12.33,500],[12.30,null]],"
        "'asks':[[12.34,300.0]],'status':'open'}}",
        "{'type':'quote','symbol':'A','ch':5,'seq':1,'ts_pub':9,'data':{'last':-0.10}}",
        "{'type':'trade','symbol':'A','ch':5,'seq':2,'ts_pub':9,'data':{'price':12.30,'size':500,"
        "'side':'sell','id':18446744073709551615}}",
        "{'type':'trade','symbol':'A','ch':5,'seq':2,'ts_event':9223372036854775807,'ts_pub':9,"
        "'data':{'price':0.000000000000000001,'size':9223372036854775807,'side':'buy'}}",
        "{'type':'bar','symbol':'A','ch':5,'seq':3,'ts_pub':9,'data':{'interval':'1m',"
        "'start':1732078800000000000,'open':1.0,'high':2.50,'low':0.5,'close':2,'volume':3,"
        "'turnover':4.5,'count':0,'closed':true}}",
        "{'type':'bar','symbol':'A','ch':5,'seq':3,'ts_pub':9,'data':{'interval':'1234567',"
        "'start':1,'open':1,'high':1,'low':1,'close':1,'closed':false}}",
        "{'type':'depth','symbol':'A','ch':5,'seq':4,'ts_pub':9,'data':{'action':'snapshot',"
        "'bids':[],'asks':[[10.10,0]],'checksum':4294967295}}",
        "{'type':'depth','symbol':'A','ch':5,'seq':4,'ts_pub':9,'data':{'action':'delta',"
        "'bids':[[1,2],[1,3]],'asks':[]}}",
        "{'type':'status','symbol':'A','ch':5,'seq':5,'ts_pub':9,'data':{'state':'halted',"
        "'reason':'news'}}",
        "{'type':'status','symbol':'A','ch':5,'seq':5,'ts_pub':9,'data':{'state':''}}",
    };
    struct frame_tick tick;
    char text[TEXT_BYTES_MAX];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(*state, texts[i], &tick) != FRAME_TICKS_TICK) {
            fail_msg("%s\n  %s", texts[i], tick.fault);
        }
        assert_string_equal(encode(&tick, text), texts[i]);
        assert_false(tick.is_book_part);
    }
}

static void a_producer_may_write_it_in_other_ways(void **state)
{
    static const char plain[] = "{'type':'trade','symbol':'A','ch':5,'seq':0,'ts_pub':9,"
                                "'data':{'price':12.30,'size':500}}";
    static const char *const texts[] = {
        "{'type':'trade','symbol':'A','data':{'price':12.30,'size':500}}",
        " { 'data' : {'size':500,'price':12.30}, 'symbol':'A', 'type':'trade' } ",
        "{'type':'trade','symbol':'A','data':{'price':'12.30','size':'500'}}",
        ("{'type':'trade','symbol':'\\u0041','x':[1,{'y':1e999}],'ch':-1,'ts_recv':'?',"
         "'data':{'price':12.30,'size':500,'pad':'xx','side':null,'id':null}}"),
        "{'type':'trade','symbol':'A','ts_event':0,'data':{'price':12.30,'size':5.00e2}}",
    };
    struct frame_tick tick;
    char text[TEXT_BYTES_MAX];
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(*state, texts[i], &tick) != FRAME_TICKS_TICK) {
            fail_msg("%s\n  %s", texts[i], tick.fault);
        }
        assert_string_equal(encode(&tick, text), plain);
    }
}

/* The fault of the field; the tick's own number is there all the same. */
static void a_fault_leaves_q_readable(void **state)
{
    struct frame_tick tick;
    assert_int_equal(
        parse(*state, "{'type':'trade','symbol':'A','data':{'price':[1,{}]},'q':5}", &tick),
        FRAME_TICKS_MALFORMED);
    assert_int_equal(tick.q, 5);
    assert_int_equal(parse(*state, "{'type':'trade','symbol':'A','q':5,'data':{'price':1}", &tick),
                     FRAME_TICKS_MALFORMED);
    assert_int_equal(tick.q, 0);
}

static void keys_come_in_any_order(void **state)
{
    static const char *const members[] = {"'type':'quote'", "'symbol':'A'", "'q':3",
                                          "'data':{'asks':[[2,1]],'x':{},'bids':[],'last':1.50}"};
    char expected[TEXT_BYTES_MAX];
    char text[TEXT_BYTES_MAX];
    struct frame_tick tick;
    (void)parse(*state,
                "{'type':'quote','symbol':'A','data':{'last':1.50,'bids':[],'asks':[[2,1]]}}",
                &tick);
    encode(&tick, expected);
    for (int order = 0; order < 24; order++) {
        bool is_used[4] = {false};
        int rest = order;
        strcpy(text, "{");
        for (int place = 4; place > 0; place--) {
            int skip = rest % place;
            int member = 0;
            rest /= place;
            while (is_used[member] || skip-- > 0) {
                member++;
            }
            is_used[member] = true;
            strcat(text, place == 4 ? "" : ",");
            strcat(text, members[member]);
        }
        strcat(text, "}");
        if (parse(*state, text, &tick) != FRAME_TICKS_TICK) {
            fail_msg("%s\n  %s", text, tick.fault);
        }
        assert_int_equal(tick.q, 3);
        assert_string_equal(encode(&tick, text), expected);
    }
}

static void numbers_of_any_program_are_exact_or_refused(void **state)
{
    static const struct {
        const char *price;
        const char *read; /* NULL: refused */
    } rows[] = {
        {"10.450000000000001", "10.450000000000001"},
        {"1e-05", "0.00001"},
        {"1E+3", "1000"},
        {"-0.0", "0.0"},
        {"0", "0"},
        {"-3.20", "-3.20"},
        {"'7.10'", "7.10"},
        {"9223372036854775807", "9223372036854775807"},
        {"0.30000000000000004", "0.30000000000000004"},
        {"1234567890.123456789", "1234567890.123456789"},
        {"10.1234567890123456789", NULL},
        {"9223372036854775808", NULL},
        {"1.1102230246251565e-16", NULL},
        {"1e400", NULL},
        {"NaN", NULL},
        {"Infinity", NULL},
        {"01", NULL},
        {"1.", NULL},
        {".5", NULL},
        {"+1", NULL},
        {"0x10", NULL},
        {"1_000", NULL},
        {"'1,5'", NULL},
    };
    char text[TEXT_BYTES_MAX];
    char expected[TEXT_BYTES_MAX];
    struct frame_tick tick;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        snprintf(text, sizeof text, "{'type':'trade','symbol':'A','data':{'price':%s}}",
                 rows[i].price);
        if ((parse(*state, text, &tick) == FRAME_TICKS_TICK) != (rows[i].read != NULL)) {
            fail_msg("%s", text);
        }
        if (rows[i].read != NULL) {
            snprintf(expected, sizeof expected,
                     "{'type':'trade','symbol':'A','ch':5,'seq':0,'ts_pub':9,'data':{'price':%s}}",
                     rows[i].read);
            assert_string_equal(encode(&tick, text), expected);
        }
    }
}

static void escapes_are_decoded(void **state)
{
    struct frame_tick tick;
    assert_int_equal(parse(*state,
                           "{'\\u0074ype':'st\\u0061tus','symbol':'\\u00e4\\ud83d\\ude00','data':"
                           "{'st\\u0061te':'\\n\\'\\\\','reason':'\\u4e2d'}}",
                           &tick),
                     FRAME_TICKS_TICK);
    assert_string_equal(tick.kind, "status");
    assert_int_equal(tick.symbol_bytes, 6);
    assert_memory_equal(tick.symbol, "\xc3\xa4\xf0\x9f\x98\x80", 6);
    assert_string_equal(tick.update.status.state, "\n\"\\");
    assert_string_equal(tick.update.status.reason, "\xe4\xb8\xad");
}

static void a_part_of_a_book_is_known_by_as_of(void **state)
{
    struct frame_tick tick;
    assert_int_equal(parse(*state,
                           "{'type':'depth','symbol':'A','ch':3,'as_of':7,'part':2,'parts':2,"
                           "'seq':7,'data':{'action':'delta','bids':[],'asks':[]}}",
                           &tick),
                     FRAME_TICKS_TICK);
    assert_true(tick.is_book_part);
    assert_int_equal(tick.seq, 7);
}

static void q_is_the_producers_own_number(void **state)
{
#define WITH_Q(q) "{'type':'trade','symbol':'A'" q ",'data':{'price':1}}"
    static const struct {
        const char *text;
        uint64_t q;
    } rows[] = {
        {WITH_Q(""), 0},
        {WITH_Q(",'q':null"), 0},
        {WITH_Q(",'q':1"), 1},
        {WITH_Q(",'q':'77'"), 77},
        {WITH_Q(",'q':9223372036854775807"), INT64_MAX},
    };
    static const char *const faults[] = {
        WITH_Q(",'q':0"),   WITH_Q(",'q':-1"), WITH_Q(",'q':9223372036854775808"),
        WITH_Q(",'q':1.5"), WITH_Q(",'q':[]"), WITH_Q(",'q':'x'"),
    };
    struct frame_tick tick;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(parse(*state, rows[i].text, &tick), FRAME_TICKS_TICK);
        assert_int_equal(tick.q, rows[i].q);
    }
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        assert_int_equal(parse(*state, faults[i], &tick), FRAME_TICKS_MALFORMED);
    }
}

static void what_is_no_data_frame_has_a_name(void **state)
{
    struct frame_tick tick;
    assert_int_equal(parse(*state, "{'type':'WELCOME','data':{'epoch':'1'}}", &tick),
                     FRAME_TICKS_OTHER);
    assert_string_equal(tick.kind, "WELCOME");
    /* In capitals it is the answer to a request. */
    assert_int_equal(parse(*state, "{'type':'STATUS','data':{'session':'0-1'}}", &tick),
                     FRAME_TICKS_OTHER);
    assert_string_equal(tick.kind, "STATUS");
    assert_int_equal(parse(*state, "{'type':'A-NAME-THAT-IS-LONGER-THAN-ANY-OF-OURS'}", &tick),
                     FRAME_TICKS_OTHER);
    assert_string_equal(tick.kind, "A-NAME-THAT-IS-LONGER-THAN-ANY-");
}

static void a_bad_field_is_malformed_and_never_a_tick(void **state)
{
#define OF(type, data) "{'type':'" type "','symbol':'A','data':{" data "}}"
#define BAR(fields) OF("bar", "'interval':'1m','start':1,'high':1,'low':1,'close':1," fields)
    static const char *const texts[] = {
        "",
        "{",
        "[]",
        "null",
        "{}",
        "{'type':''}",
        "{'type':1}",
        "{'type':'trade','type':'trade','symbol':'A','data':{'price':1}}",
        "{'type':'trade','data':{'price':1}}",
        "{'type':'trade','symbol':'','data':{'price':1}}",
        "{'type':'trade','symbol':'A\\u0000','data':{'price':1}}",
        "{'type':'trade','symbol':'123456789012345678901234567890123','data':{'price':1}}",
        "{'type':'trade','symbol':'A'}",
        "{'type':'trade','symbol':'A','data':[]}",
        "{'type':'trade','symbol':'A','ts_event':-1,'data':{'price':1}}",
        "{'type':'trade','symbol':'A','ts_event':9223372036854775808,'data':{'price':1}}",
        "{'type':'trade','symbol':'A','seq':1.5,'data':{'price':1}}",
        OF("trade", ""),
        OF("trade", "'price':null"),
        OF("trade", "'price':true"),
        OF("trade", "'price':'x'"),
        OF("trade", "'price':''"),
        OF("trade", "'price':99999999999999999999"),
        OF("trade", "'price':1,'size':-1"),
        OF("trade", "'price':1,'side':'Buy'"),
        OF("trade", "'price':1,'side':1"),
        OF("trade", "'price':1,'id':-1"),
        OF("trade", "'price':1,'id':18446744073709551616"),
        OF("quote", "'last':[]"),
        OF("quote", "'bids':1"),
        OF("quote", "'bids':[1]"),
        OF("quote", "'bids':[[1]]"),
        OF("quote", "'bids':[[1,2,3]]"),
        OF("quote", "'bids':[[null,2]]"),
        OF("quote", "'asks':[[1,-2]]"),
        OF("quote", "'status':1"),
        BAR("'volume':1"),
        BAR("'open':1,'closed':1"),
        BAR("'open':1,'count':1.5"),
        OF("bar", "'interval':'12345678','start':1,'open':1,'high':1,'low':1,'close':1"),
        OF("bar", "'interval':'1m','start':0,'open':1,'high':1,'low':1,'close':1"),
        OF("depth", "'bids':[],'asks':[]"),
        OF("depth", "'action':'image','bids':[],'asks':[]"),
        OF("depth", "'action':'delta'"),
        OF("depth", "'action':'delta','bids':{}"),
        OF("depth", "'action':'delta','bids':[],'checksum':4294967296"),
        OF("status", ""),
        OF("status", "'state':1"),
        OF("status", "'state':'a','reason':1"),
    };
    struct frame_tick tick;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(*state, texts[i], &tick) != FRAME_TICKS_MALFORMED) {
            fail_msg("not malformed: %s", texts[i]);
        }
        assert_non_null(tick.fault);
    }
}

static void what_is_not_json_is_malformed_and_never_a_tick(void **state)
{
    static const char *const texts[] = {
        OF("status", "'state':'\xff'"),     OF("status", "'state':'\xed\xa0\x80'"),
        OF("status", "'state':'\\ud800'"),  OF("status", "'state':'a\\u0000'"),
        OF("status", "'state':'a\x01'"),    OF("status", "'state':'a','x':'\xc0\x80'"),
        OF("trade", "'price':1,'price':1"), OF("trade", "'price':1,'pr\\u0069ce':1"),
        OF("trade", "'price':1,'x':[1,]"),  OF("trade", "'price':1} {"),
        OF("trade", "'price':1,"),
    };
    struct frame_tick tick;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (parse(*state, texts[i], &tick) != FRAME_TICKS_MALFORMED) {
            fail_msg("not malformed: %s", texts[i]);
        }
    }
}

static void every_cut_of_a_frame_is_malformed(void **state)
{
    static const char text[] = "{'type':'depth','symbol':'A','ch':5,'seq':4,'data':{"
                               "'action':'delta','bids':[[1.5,2]],'asks':[],'checksum':12}}";
    struct frame_tick tick;
    char cut[sizeof text];
    for (size_t bytes = 0; bytes < sizeof text - 1; bytes++) {
        memcpy(cut, text, bytes);
        cut[bytes] = '\0';
        assert_int_equal(parse(*state, cut, &tick), FRAME_TICKS_MALFORMED);
    }
}

static void levels_are_taken_up_to_the_limit(void **state)
{
    static const char head[] = "{\"type\":\"depth\",\"symbol\":\"A\",\"data\":{"
                               "\"action\":\"delta\",\"asks\":[[1,2]";
    char *text = malloc(sizeof head + 6 * (size_t)FRAME_TICKS_LEVELS_MAX + 8);
    struct frame_tick tick;
    for (uint32_t count = FRAME_TICKS_LEVELS_MAX; count <= FRAME_TICKS_LEVELS_MAX + 1; count++) {
        char *at = stpcpy(text, head);
        for (uint32_t i = 1; i < count; i++) {
            at = stpcpy(at, ",[1,2]");
        }
        at = stpcpy(at, "]}}");
        bool is_taken =
            frame_ticks_parse(*state, text, (size_t)(at - text), &tick) == FRAME_TICKS_TICK;
        assert_true(is_taken == (count == FRAME_TICKS_LEVELS_MAX));
    }
    free(text);
}

static void texts_are_taken_up_to_the_limit(void **state)
{
    static const char head[] = "{\"type\":\"status\",\"symbol\":\"A\",\"data\":{\"state\":\"";
    char *text = malloc(sizeof head + FRAME_TICKS_TEXT_BYTES_MAX + 8);
    struct frame_tick tick;
    for (size_t bytes = FRAME_TICKS_TEXT_BYTES_MAX; bytes <= FRAME_TICKS_TEXT_BYTES_MAX + 1;
         bytes++) {
        char *at = stpcpy(text, head);
        memset(at, 'x', bytes);
        at = stpcpy(at + bytes, "\"}}");
        bool is_taken =
            frame_ticks_parse(*state, text, (size_t)(at - text), &tick) == FRAME_TICKS_TICK;
        assert_true(is_taken == (bytes == FRAME_TICKS_TEXT_BYTES_MAX));
        assert_true(!is_taken || strlen(tick.update.status.state) == bytes);
    }
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(what_the_server_writes_is_read_and_written_the_same),
        TEST(a_producer_may_write_it_in_other_ways),
        TEST(a_fault_leaves_q_readable),
        TEST(keys_come_in_any_order),
        TEST(numbers_of_any_program_are_exact_or_refused),
        TEST(escapes_are_decoded),
        TEST(a_part_of_a_book_is_known_by_as_of),
        TEST(q_is_the_producers_own_number),
        TEST(what_is_no_data_frame_has_a_name),
        TEST(a_bad_field_is_malformed_and_never_a_tick),
        TEST(what_is_not_json_is_malformed_and_never_a_tick),
        TEST(every_cut_of_a_frame_is_malformed),
        TEST(levels_are_taken_up_to_the_limit),
        TEST(texts_are_taken_up_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
