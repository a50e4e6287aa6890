// SPDX-License-Identifier: MIT
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;

/** usage: Worker PORT: answers lines with numbers, as worker.py does. */
public class Worker {
    static long step(long x) {
        x = (x * 69069 + 1) & 0xffffffffL;
        return x ^ (x >> 13);
    }

    static long crunch(long n) {
        long x = n;
        for (long i = 0; i < n; i++)
            x = step(x);
        return x;
    }

    static long tally(long n) {
        int[] counts = new int[1000];
        long x = n, sum = 0;
        for (long i = 0; i < n; i++) {
            x = step(x);
            counts[(int) (x % 1000)]++;
        }
        for (int key = 0; key < 1000; key++)
            sum += (long) key * counts[key];
        return sum & 0xffffffffL;
    }

    static void serve(Socket client) {
        try (client) {
            BufferedReader lines = new BufferedReader(new InputStreamReader(client.getInputStream()));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                long n = Long.parseLong(line);
                long answer = crunch(8 * n) ^ tally(n);
                client.getOutputStream().write((answer + "\n").getBytes());
            }
        } catch (java.io.IOException gone) {
            // the client has ended
        }
    }

    public static void main(String[] args) throws Exception {
        ServerSocket listener =
            new ServerSocket(Integer.parseInt(args[0]), 8, InetAddress.getByName("127.0.0.1"));
        for (;;) {
            Socket client = listener.accept();
            new Thread(() -> serve(client), "worker").start();
        }
    }
}
