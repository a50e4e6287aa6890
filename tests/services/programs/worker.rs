// SPDX-License-Identifier: MIT

//! A line server: "N" in, a number out that only the whole computation gives (see ../service.py).

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Result, Write};
use std::net::{TcpListener, TcpStream};

#[inline(never)]
fn step(x: u32) -> u32 {
    let y = x.wrapping_mul(69069).wrapping_add(1);
    y ^ (y >> 13)
}

#[inline(never)]
fn crunch(n: u32) -> u32 {
    let mut x = n;
    for _ in 0..n {
        x = x.wrapping_mul(69069).wrapping_add(1);
        x ^= x >> 13;
    }
    x
}

#[inline(never)]
fn tally(n: u32) -> u32 {
    let mut counts: HashMap<u32, u32> = HashMap::new();
    let mut x = n;
    for _ in 0..n {
        x = step(x);
        *counts.entry(x % 1000).or_insert(0) += 1;
    }
    counts
        .iter()
        .fold(0, |sum: u32, (key, count)| sum.wrapping_add(key.wrapping_mul(*count)))
}

#[inline(never)]
fn serve(mut client: TcpStream) -> Result<()> {
    for line in BufReader::new(client.try_clone()?).lines() {
        if let Ok(n) = line?.trim().parse::<u32>() {
            // writeln! would send number and line end apart, to wait for each other's packets.
            let reply = format!("{}\n", crunch(8 * n) ^ tally(n));
            client.write_all(reply.as_bytes())?;
        }
    }
    Ok(())
}

fn main() -> Result<()> {
    let port = std::env::args().nth(1).expect("a port");
    for client in TcpListener::bind(format!("127.0.0.1:{}", port))?.incoming() {
        let client = client?;
        std::thread::spawn(move || serve(client));
    }
    Ok(())
}
