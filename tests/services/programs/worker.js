// SPDX-License-Identifier: MIT
'use strict';

// GET /N gives a number that only the whole computation gives (see ../service.py).
const http = require('http');

function step(x) {
    x = (Math.imul(x, 69069) + 1) >>> 0;
    return (x ^ (x >>> 13)) >>> 0;
}

function crunch(n) {
    let x = n;
    for (let i = 0; i < n; i++) {
        x = (Math.imul(x, 69069) + 1) >>> 0;
        x = (x ^ (x >>> 13)) >>> 0;
    }
    return x;
}

function tally(n) {
    const counts = new Map();
    let x = n;
    for (let i = 0; i < n; i++) {
        x = step(x);
        counts.set(x % 1000, (counts.get(x % 1000) || 0) + 1);
    }
    let sum = 0;
    for (const [key, count] of counts) {
        sum = (sum + key * count) >>> 0;
    }
    return sum;
}

function answer(request, response) {
    const n = Number(request.url.slice(1));
    response.end(String((crunch(8 * n) ^ tally(n)) >>> 0) + '\n');
}

http.createServer(answer).listen(Number(process.argv[2]), '127.0.0.1');
