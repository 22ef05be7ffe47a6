// node unpack-chromium.mjs DIR: unpacks the Chromium inside npm's @sparticuz/chromium into DIR and writes DIR/chrome,
// a script that starts it. The package's own wrapper is for another place (AWS Lambda) and wants a newer Node.
import { execFileSync } from "node:child_process";
import { chmodSync, createReadStream, createWriteStream, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { fileURLToPath } from "node:url";
import { brotliDecompressSync, createBrotliDecompress } from "node:zlib";

if (process.platform !== "linux" || process.arch !== "x64") {
  console.error(`sioserver: no packed Chromium for ${process.platform} on ${process.arch}; install chromium from your system (on Debian: sudo apt-get install chromium), or set SIOSERVER_CHROME=/path/to/chrome`);
  process.exit(1);
}

const target = resolve(process.argv[2]);
const packed = join(dirname(fileURLToPath(import.meta.url)), "node_modules/@sparticuz/chromium/bin");
const fresh = `${target}.${process.pid}`;
mkdirSync(fresh, { recursive: true });

await pipeline(createReadStream(join(packed, "chromium.br")), createBrotliDecompress(), createWriteStream(join(fresh, "chromium")));
chmodSync(join(fresh, "chromium"), 0o755);
for (const name of ["al2023.tar.br", "fonts.tar.br"]) {
  execFileSync("tar", ["-x", "--no-same-owner", "-C", fresh], { input: brotliDecompressSync(readFileSync(join(packed, name))) });
}
// Its own fonts.conf points elsewhere; without a font a page has no text at all, not even in innerText.
writeFileSync(
  join(fresh, "own-fonts.conf"),
  `<?xml version="1.0"?><!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>${target}/fonts</dir><dir>/usr/share/fonts</dir><cachedir>${target}/font-cache</cachedir></fontconfig>\n`,
);
writeFileSync(
  join(fresh, "chrome"),
  `#!/bin/sh
here=$(dirname "$0")
export LD_LIBRARY_PATH="$here/lib" FONTCONFIG_FILE="$here/own-fonts.conf"
exec "$here/chromium" "$@"\n`,
);
chmodSync(join(fresh, "chrome"), 0o755);
rmSync(target, { recursive: true, force: true });
renameSync(fresh, target);
