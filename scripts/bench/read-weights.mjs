// Reads a weights file again and again, whole or tensor by tensor, in a process that has nothing else in it: its memory
// is measured. `node read-weights.mjs BUNDLE whole|streamed FILE TIMES`; 0 times: what the process takes by itself.
const [bundle, how, file, times] = process.argv.slice(2);
const { readWeights, withWeights } = await import(bundle);
const seconds = [];
for (let round = 0; round < Number(times); round++) {
  const start = performance.now();
  if (how === 'whole') await readWeights(file);
  else
    await withWeights(file, async (weights) => {
      for await (const tensor of weights.values({ lent: true })) tensor.data.at(-1);
    });
  seconds.push((performance.now() - start) / 1000);
}
console.log(JSON.stringify({ times: seconds, peak: process.resourceUsage().maxRSS * 1024 }));
