// The machine's peak: multiply-adds on registers alone, with as many independent chains as keep its units busy.
import { PANEL, multiplyAdd } from './micro-kernels';
import { claim } from './work';

@unmanaged class PeakJob {
  counter: usize;
  operands: usize; // 32 bytes
  results: usize; // 32 bytes per chain and thread
  rounds: i32;
  pieces: i32;
}

/** Ten chains of dependent multiply-adds; each is one 256-bit register, or in modules for 128 bits one 128-bit register. */


export function peak(thread: i32, threads: i32, at: usize): void {
  const job = changetype<PeakJob>(at);
  const to = job.results + <usize>thread * 320;
  while (claim(job.counter) < job.pieces) {
    const low = v128.load(job.operands), high = v128.load(job.operands, 16);
    let a0 = low, b0 = low, c0 = low, d0 = low, e0 = low, f0 = low, g0 = low, h0 = low, i0 = low, j0 = low;
    let a1 = high, b1 = high, c1 = high, d1 = high, e1 = high, f1 = high, g1 = high, h1 = high, i1 = high, j1 = high;
    if (PANEL == 16) {
      for (let round = 0; round < job.rounds; round++) {
        a0 = multiplyAdd(a0, low, low); a1 = multiplyAdd(a1, high, high);
        b0 = multiplyAdd(b0, low, low); b1 = multiplyAdd(b1, high, high);
        c0 = multiplyAdd(c0, low, low); c1 = multiplyAdd(c1, high, high);
        d0 = multiplyAdd(d0, low, low); d1 = multiplyAdd(d1, high, high);
        e0 = multiplyAdd(e0, low, low); e1 = multiplyAdd(e1, high, high);
        f0 = multiplyAdd(f0, low, low); f1 = multiplyAdd(f1, high, high);
        g0 = multiplyAdd(g0, low, low); g1 = multiplyAdd(g1, high, high);
        h0 = multiplyAdd(h0, low, low); h1 = multiplyAdd(h1, high, high);
        i0 = multiplyAdd(i0, low, low); i1 = multiplyAdd(i1, high, high);
        j0 = multiplyAdd(j0, low, low); j1 = multiplyAdd(j1, high, high);
      }
    } else {
      for (let round = 0; round < job.rounds; round++) {
        a0 = multiplyAdd(a0, low, low);
        b0 = multiplyAdd(b0, low, low);
        c0 = multiplyAdd(c0, low, low);
        d0 = multiplyAdd(d0, low, low);
        e0 = multiplyAdd(e0, low, low);
        f0 = multiplyAdd(f0, low, low);
        g0 = multiplyAdd(g0, low, low);
        h0 = multiplyAdd(h0, low, low);
        i0 = multiplyAdd(i0, low, low);
        j0 = multiplyAdd(j0, low, low);
      }
    }
    v128.store(to, a0); v128.store(to, a1, 16);
    v128.store(to, b0, 32); v128.store(to, b1, 48);
    v128.store(to, c0, 64); v128.store(to, c1, 80);
    v128.store(to, d0, 96); v128.store(to, d1, 112);
    v128.store(to, e0, 128); v128.store(to, e1, 144);
    v128.store(to, f0, 160); v128.store(to, f1, 176);
    v128.store(to, g0, 192); v128.store(to, g1, 208);
    v128.store(to, h0, 224); v128.store(to, h1, 240);
    v128.store(to, i0, 256); v128.store(to, i1, 272);
    v128.store(to, j0, 288); v128.store(to, j1, 304);
  }
}
