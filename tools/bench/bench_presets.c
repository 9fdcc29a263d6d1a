#include "tools/bench/bench_presets.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct bench_preset bench_presets[] = {
    {"ringcast", "a ringcast server, the default", "protocol ringcast\n"},
    {"nats", "nats-server over WebSocket; subjects md.SYMBOL", "protocol nats\n"},
    {"mqtt", "an MQTT 3.1.1 broker over WebSocket, such as mosquitto; topics md/SYMBOL",
     "protocol mqtt\n"},
    {"nchan", "nginx with nchan; the URL has {symbols}: ws://HOST/sub/{symbols}",
     "protocol plain\n"},
    {"websockets", "a broadcast by Python's websockets, as in bench/peers",
     "protocol plain\n"
     "send {\"type\":\"SUBSCRIBE\",\"id\":1,"
     "\"data\":{\"symbols\":[\"{symbols}\"],\"data_types\":[\"quote\"]}}\n"},
    {"binance", "trades in Binance's form; the URL is ws://HOST/stream",
     "protocol plain\n"
     "symbols btcusdt@trade\n"
     "send {\"method\":\"SUBSCRIBE\",\"params\":[\"{symbols}\"],\"id\":1}\n"
     "ignore \"result\":null\n"
     "time-pattern \"E\":\n"
     "time-unit ms\n"
     "seq-pattern \"t\":\n"
     "channel-pattern symbol\n"
     "symbol-pattern \"stream\":\"\n"},
    {"coinbase", "trades in Coinbase's form",
     "protocol plain\n"
     "symbols BTC-USD\n"
     "send {\"type\":\"subscribe\",\"product_ids\":[\"{symbols}\"],\"channels\":[\"matches\"]}\n"
     "ignore \"type\":\"subscriptions\"\n"
     "time-pattern \"time\":\"\n"
     "time-unit iso\n"
     "seq-pattern \"trade_id\":\n"
     "channel-pattern symbol\n"
     "symbol-pattern \"product_id\":\"\n"},
    {"low", "a stress test of a ringcast: 20 connections, 100 requests; a report, a grade",
     "connections 20\nrequests 100\nduration 2s\nreport .\n"},
    {"medium", "the same with 50 connections, 500 requests",
     "connections 50\nrequests 500\nduration 2s\nreport .\n"},
    {"high", "the same with 100 connections, 2 000 requests",
     "connections 100\nrequests 2000\nduration 2s\nreport .\n"},
};

const struct bench_preset *bench_presets_find(const char *name)
{
    for (size_t i = 0; i < COUNT(bench_presets); i++) {
        if (strcmp(bench_presets[i].name, name) == 0) {
            return &bench_presets[i];
        }
    }
    return NULL;
}

void bench_presets_print(FILE *out)
{
    for (size_t i = 0; i < COUNT(bench_presets); i++) {
        fprintf(out, "  %-12s%s\n", bench_presets[i].name, bench_presets[i].about);
    }
}
