'use strict';
// peer_ws: a broadcaster on Node's ws.
//
//   --mode send     ws.send() of every tick, a client's ticks of an instant between cork and uncork
//   --mode joined   frames are encoded once; a client's frames of an instant are one write to its
//                   socket, around the library's own framing

const { parseArgs } = require('util');
const { WebSocketServer, Sender } = require('ws');

const INSTANTS_MAX = 16; // Made up at once, so that clients get a turn.
const LAG_BYTES_MAX = 8 << 20; // Of a client's write buffer, before it is dropped.
const FIRST = ['000001.SZ', '600519.SH', '300750.SZ', 'AAPL.US', 'MSFT.US', 'NVDA.US'];
const DEFAULTS = { symbols: 1, rate: 100, burst: 1, pad: 256 };

function parseSpec(text) {
    const spec = { ...DEFAULTS };
    for (const part of text.split(',')) {
        const [name, value] = part.split('=');
        if (!(name in spec) || !/^[1-9][0-9]*$/.test(value)) {
            throw new Error(`spec: "${part}" is not understood`);
        }
        spec[name] = Number(value);
    }
    return spec;
}

function symbolName(index) {
    return FIRST[index] || `SIM${String(index).padStart(5, '0')}.SIM`;
}

// The wall clock minus hrtime, in ns: Date.now() is exact at the moment it changes.
function wallOffsetNs() {
    let best = -(1n << 62n);
    for (let i = 0; i < 5; i++) {
        const before = Date.now();
        let now = before;
        while (now === before) {
            now = Date.now();
        }
        const offset = BigInt(now) * 1000000n - process.hrtime.bigint();
        best = offset > best ? offset : best;
    }
    return best;
}

// Instant i is due at start + i * burst / rate seconds; tick k is of symbol k mod symbols.
class Ticks {
    constructor(spec) {
        this.spec = spec;
        this.names = Array.from({ length: spec.symbols }, (_, i) => symbolName(i));
        this.seqs = new Array(spec.symbols).fill(0);
        this.made = 0;
        this.wallOffsetNs = wallOffsetNs();
        this.startNs = process.hrtime.bigint();
    }

    dueNs() {
        return this.startNs + (BigInt(this.made) * 1000000000n) / BigInt(this.spec.rate);
    }

    // Makes the next instant: adds { symbol, data } to made.
    instant(made) {
        const tsEvent = this.dueNs() + this.wallOffsetNs;
        for (let i = 0; i < this.spec.burst; i++) {
            made.push(this.tick(tsEvent));
        }
    }

    tick(tsEvent) {
        const symbol = this.made++ % this.spec.symbols;
        const seq = ++this.seqs[symbol];
        const tsPub = process.hrtime.bigint() + this.wallOffsetNs;
        const head = `{"type":"quote","symbol":"${this.names[symbol]}","ch":${symbol},` +
            `"seq":${seq},"ts_event":${tsEvent},"ts_pub":${tsPub},"filler":"`;
        return { symbol, data: Buffer.from(head.padEnd(this.spec.pad - 2, 'x') + '"}') };
    }
}

const senders = {
    send(clients, made) {
        for (const client of clients) {
            client._socket.cork();
            for (const tick of made) {
                client.send(tick.data, { binary: false, compress: false });
            }
            client._socket.uncork();
        }
    },

    joined(clients, made) {
        const options = { fin: true, rsv1: false, opcode: 1, mask: false, readOnly: true };
        const data = Buffer.concat(made.flatMap((tick) => Sender.frame(tick.data, options)));
        for (const client of clients) {
            client._socket.write(data);
        }
    },
};

class Broadcaster {
    constructor(spec, mode) {
        this.ticks = new Ticks(spec);
        this.send = senders[mode];
        this.index = new Map(this.ticks.names.map((name, i) => [name, i]));
        this.groups = new Map(); // Clients by the symbols they have: theirs is the same data.
    }

    leave(client) {
        const group = this.groups.get(client.groupKey);
        if (group) {
            group.clients.delete(client);
            if (group.clients.size === 0) {
                this.groups.delete(client.groupKey);
            }
        }
    }

    subscribe(client, symbols) {
        this.leave(client);
        const names = symbols[0] === '*' ? this.ticks.names : symbols;
        for (const name of names) {
            if (this.index.has(name)) {
                client.wanted.add(this.index.get(name));
            }
        }
        client.groupKey = [...client.wanted].sort((a, b) => a - b).join();
        if (!this.groups.has(client.groupKey)) {
            this.groups.set(client.groupKey, { wanted: new Set(client.wanted), clients: new Set() });
        }
        this.groups.get(client.groupKey).clients.add(client);
    }

    onConnection(client) {
        client.wanted = new Set();
        client._socket.setNoDelay(true);
        client.on('error', () => client.terminate());
        client.on('close', () => this.leave(client));
        client.on('message', (text) => {
            const message = JSON.parse(text);
            client.send(JSON.stringify({ type: 'SUBSCRIBED', id: message.id,
                                         data: { ok: [], failed: [] } }));
            this.subscribe(client, message.data.symbols);
        });
    }

    publish() {
        const made = [];
        for (let i = 0; i < INSTANTS_MAX && this.ticks.dueNs() <= process.hrtime.bigint(); i++) {
            this.ticks.instant(made);
        }
        for (const { wanted, clients } of made.length > 0 ? this.groups.values() : []) {
            const theirs = made.filter((tick) => wanted.has(tick.symbol));
            if (theirs.length > 0) {
                this.send(clients, theirs);
            }
        }
        const waitMs = Number(this.ticks.dueNs() - process.hrtime.bigint()) / 1e6;
        if (waitMs > 0) {
            setTimeout(() => this.publish(), Math.ceil(waitMs));
        } else {
            setImmediate(() => this.publish());
        }
    }

    dropLaggards() {
        for (const { clients } of this.groups.values()) {
            for (const client of clients) {
                if (client._socket.writableLength > LAG_BYTES_MAX) {
                    client.terminate();
                }
            }
        }
    }
}

function main() {
    const { values } = parseArgs({
        options: {
            port: { type: 'string', default: '9100' },
            spec: { type: 'string', default: 'symbols=1' },
            mode: { type: 'string', default: 'send' },
        },
    });
    if (!(values.mode in senders)) {
        throw new Error(`--mode ${values.mode}: send or joined`);
    }
    const broadcaster = new Broadcaster(parseSpec(values.spec), values.mode);
    const server = new WebSocketServer({ host: '127.0.0.1', port: Number(values.port),
                                         backlog: 4096, perMessageDeflate: false });
    server.on('connection', (client) => broadcaster.onConnection(client));
    broadcaster.publish();
    setInterval(() => broadcaster.dropLaggards(), 1000);
    for (const name of ['SIGTERM', 'SIGINT']) {
        process.on(name, () => process.exit(0));
    }
}

main();
