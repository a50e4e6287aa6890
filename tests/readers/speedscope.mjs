// SPDX-License-Identifier: MIT
// Checks a .speedscope.json against the package's own schema, opens it in the real application, and
// prints the table of each profile as it shows it: [[total, self, function], ...]. Any other file is
// opened only.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import Ajv from 'ajv';
import puppeteer from 'puppeteer-core';

const file = process.argv[2], bytes = readFileSync(file);
const release = path.join(
    path.dirname(createRequire(import.meta.url).resolve('speedscope/package.json')), 'dist/release');
if (file.endsWith('.speedscope.json')) {
    const schema = JSON.parse(readFileSync(path.join(release, 'file-format-schema.json')));
    const validate = new Ajv({ strict: false }).compile(schema);
    if (!validate(JSON.parse(bytes)))
        throw new Error(JSON.stringify(validate.errors.slice(0, 3)));
}

const folder = mkdtempSync(path.join(os.tmpdir(), 'oxprof-speedscope-'));
const browser = await puppeteer.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox', '--disable-gpu', '--allow-file-access-from-files', '--disable-dev-shm-usage'],
});
try {
    const page = await browser.newPage();
    const problems = [];
    page.on('pageerror', (error) => problems.push(error.message));
    page.on('dialog', (dialog) => {
        problems.push(`it ran: ${dialog.message()}`);
        dialog.dismiss();
    });
    const script = path.join(folder, 'profile.js');
    writeFileSync(script, `speedscope.loadFileFromBase64(${JSON.stringify(path.basename(file))}, ` +
        `${JSON.stringify(bytes.toString('base64'))})`);
    await page.goto(`file://${path.join(release, 'index.html')}#localProfilePath=${script}`);
    await page.waitForFunction(() => /Time Order/.test(document.body.innerText), { timeout: 30000 });
    await page.keyboard.press('3');
    await page.waitForFunction(() => document.querySelectorAll('table tr td').length > 0);
    const rows = await page.evaluate(() =>
        [...document.querySelectorAll('table tr')]
            .map((row) => [...row.querySelectorAll('td')].map((cell) => cell.innerText.trim()))
            .filter((row) => row.length === 3));
    if (problems.length)
        throw new Error(problems.join('; '));
    console.log(JSON.stringify(rows));
} finally {
    await browser.close();
    rmSync(folder, { recursive: true, force: true });
}
