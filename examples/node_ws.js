#!/usr/bin/env node
/* Follows symbols of a ringcast over disconnects and restarts, with the package ws.
 *
 *     node node_ws.js [URL [SYMBOLS [TYPES]]]
 *     node node_ws.js ws://localhost:8765/ 000001.SZ,AAPL.US quote
 *
 * Needs Node 18 and ws 8 or newer (Debian: nodejs, node-ws). */
'use strict';

const WebSocket = require('ws');

const [url = 'ws://localhost:8765/', symbols = '000001.SZ', types = 'quote'] = process.argv.slice(2);

const SILENCE_MS = 5000; // More than the interval of WELCOME, within which HEARTBEAT comes: it is dead.
const BACKOFF_MS_MIN = 500;
const BACKOFF_MS_MAX = 30000;
const CURSORS_PER_MESSAGE = 500; // A client's message has at most 16 KiB.
const OUR_FAULT = [1000, 1002, 1003, 1007, 1008, 1009, 1010]; // by RFC 6455

/* How far each channel has come: what another connection can go on from. */
let epoch;
let last = new Map(); // ch: the last seq that came, or that a GAP declared lost
let names = new Map(); // ch: '000001.SZ quote'
let failures = 0;

/* JSON.parse would make binary floats of the numbers: 12.30 becomes 12.3, and a time in nanoseconds
 * loses its last digits. Here every number arrives as its own text; what is counted with is made a
 * Number by name. For arithmetic on prices take a decimal library, or BigInt of the digits. */
function parse(text) {
    return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g,
        (token) => token[0] === '"' ? token : `"${token}"`));
}

function say(text) {
    console.log(`-- ${text}`);
}

/* seq comes next. Frames are missing without a GAP if newer ones replaced them, or after a disconnect. */
function expect(ch, seq) {
    const before = last.get(ch) ?? seq - 1;
    last.set(ch, Math.max(before, seq - 1));
    if (before < seq - 1) {
        say(`${names.get(ch) ?? ch}: ${seq - 1 - before} not received before #${seq}`);
    }
}

/* RESUME brings what was missed. SUBSCRIBE follows it always: it changes nothing for a channel that
 * was resumed, and gets the rest: patterns, new symbols, all of it if RESUME is refused. */
function greet(socket, welcome) {
    if (welcome.epoch !== epoch) { // ch and seq mean nothing in another one.
        epoch = welcome.epoch;
        last = new Map();
        names = new Map();
    }
    const cursors = [...last];
    for (let i = 0; i < cursors.length; i += CURSORS_PER_MESSAGE) {
        const some = Object.fromEntries(cursors.slice(i, i + CURSORS_PER_MESSAGE));
        socket.send(JSON.stringify({ type: 'RESUME', id: 'resume', data: { epoch, cursors: some } }));
    }
    socket.send(JSON.stringify({
        type: 'SUBSCRIBE',
        data: { symbols: symbols.split(','), data_types: types.split(',') },
    }));
}

function onVerdicts(type, { epoch: of, ok, failed }) {
    for (const entry of ok) {
        if (entry.ch !== undefined) { // A pattern has none: its channels show with their frames.
            names.set(entry.ch, `${entry.symbol} ${entry.type}`);
            last.set(entry.ch, last.get(entry.ch) ?? Number(entry.next_seq) - 1);
        }
    }
    for (const entry of failed) {
        const name = entry.symbol === undefined ? entry.ch : `${entry.symbol} ${entry.type}`;
        say(`${type} not ${name}: ${entry.message} (${entry.code})`);
    }
    say(`${type} ${ok.length} in epoch ${of}`);
}

function onMessage(socket, { type, id, data = {}, ...tick }) {
    for (const { field = '', message } of data.warnings ?? []) { // A key that the server does not use.
        say(`${type} warns: ${field} ${message}`);
    }
    if (tick.seq !== undefined) {
        onTick({ type, data, ...tick });
    } else if (type === 'WELCOME') {
        greet(socket, data);
    } else if (type === 'SUBSCRIBED' || type === 'RESUMED') {
        onVerdicts(type, data);
    } else if (type === 'GAP') {
        last.set(data.ch, Number(data.to));
        say(`GAP ${names.get(data.ch) ?? data.ch} #${data.from}..#${data.to} are lost (${data.reason})`);
    } else if (type === 'HEARTBEAT') { // All is quiet. Were last frames lost?
        Object.entries(data.next_seq).forEach(([ch, seq]) => expect(ch, Number(seq)));
    } else if (type === 'LAG') { // Read faster, or on_lag decides what becomes of the rest.
        say(`LAG ${data.ms} ms behind (${data.cause})`);
    } else if (type === 'NOTICE') { // Of a drain: a close with 4201 follows.
        say(`NOTICE ${data.event}`);
    } else if (type === 'ERROR') {
        const then = id === 'resume' ? ': subscribed anew' : ` ${data.field ?? ''}`;
        say(`ERROR ${data.code} ${data.message}${then}`);
    }
}

function onTick(tick) {
    const seq = Number(tick.seq);
    names.set(tick.ch, `${tick.symbol} ${tick.type}`);
    expect(tick.ch, seq);
    last.set(tick.ch, Math.max(last.get(tick.ch), seq));
    const ns = BigInt(tick.ts_event ?? tick.ts_pub);
    const clock = new Date(Number(ns / 1000000n)).toISOString().slice(11, 19);
    const microseconds = String(ns / 1000n % 1000000n).padStart(6, '0');
    console.log(`${clock}.${microseconds} ${tick.symbol} ${tick.type} #${seq} ${describe(tick)}`);
}

function describe({ type, data }) {
    const best = (side) => side?.length ? `${side[0][0]} x ${side[0][1] ?? '-'}` : '-';
    switch (type) {
    case 'quote':
        return `last ${data.last ?? '-'} bid ${best(data.bids)} ask ${best(data.asks)}`;
    case 'trade':
        return `${data.side ?? '-'} ${data.price} x ${data.size ?? '-'}`;
    case 'bar':
        return [data.interval, data.open ?? '-', data.high ?? '-', data.low ?? '-',
            data.close ?? '-', 'volume', data.volume ?? '-'].join(' ');
    case 'depth':
        return `${data.action} bid ${best(data.bids)} ask ${best(data.asks)}`;
    case 'status':
        return `${data.state} ${data.reason ?? ''}`.trimEnd();
    default:
        return type;
    }
}

function giveUp(why) {
    console.error(`-- ${why}: not tried again`);
    process.exitCode = 1;
}

function onClose(code, reason, began, retryAfterMs) {
    if (OUR_FAULT.includes(code) || (code >= 4000 && code <= 4099)) {
        giveUp(`closed ${code} ${reason}`);
        return;
    }
    failures = Date.now() - began > BACKOFF_MS_MAX ? 0 : failures + 1;
    let pause = 0;
    if (code < 4200 || code > 4299) { // Those ask to be tried at once.
        // Jitter: a thousand clients that were disconnected together must not come back together.
        pause = retryAfterMs + Math.min(BACKOFF_MS_MIN * 2 ** failures, BACKOFF_MS_MAX) * Math.random();
    }
    say(`closed ${code} ${reason}: again in ${(pause / 1000).toFixed(2)} s`);
    setTimeout(connect, pause);
}

function connect() {
    const began = Date.now();
    const socket = new WebSocket(url, { handshakeTimeout: SILENCE_MS });
    let trouble = ''; // why there was no connection, or no Close frame
    let retryAfterMs = 0;
    const isSilent = () => {
        trouble = 'silence';
        socket.terminate();
    };
    let silenceMs = SILENCE_MS;
    let patience = setTimeout(isSilent, silenceMs);
    socket.on('open', () => say(`connected to ${url}`));
    socket.on('message', (text) => {
        const message = parse(text.toString());
        if (message.type === 'WELCOME') silenceMs += Number(message.data.heartbeat_interval_ms);
        clearTimeout(patience);
        patience = setTimeout(isSilent, silenceMs);
        onMessage(socket, message);
    });
    socket.on('unexpected-response', (request, { statusCode, headers }) => {
        trouble = `HTTP ${statusCode}`;
        if (statusCode >= 400 && statusCode < 500 && statusCode !== 408 && statusCode !== 429) {
            clearTimeout(patience);
            giveUp(`refused with ${trouble}`);
            socket.removeAllListeners('close');
        }
        retryAfterMs = Number(headers['retry-after'] ?? 0) * 1000;
        socket.terminate();
    });
    socket.on('error', (error) => {
        trouble ||= error.message;
    });
    socket.on('close', (code, reason) => {
        clearTimeout(patience);
        onClose(code, reason.toString() || trouble, began, retryAfterMs);
    });
}

connect();
