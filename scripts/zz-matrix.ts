import { judgeEntry64 } from './judge-entry64.ts';
import { judge } from './judge.ts';
for (const name of ['good', 'bad', 'compare-good', 'compare-bad']) {
  const image = `samples/built/${name}.bzImage`;
  for (const cpu of ['qemu64', 'max', 'qemu64,+la57']) {
    const r = await judge(image, { cpu, append: 'x' });
    let line = `${name} ${cpu} 16-bit:${r.verdict}`;
    for (const loadAt of [0, 0x100000, 0x1000000, 0x1234000, 0x140000000])
      for (const paging of cpu === 'qemu64' ? [4] as const : [4, 5] as const)
       for (const append of cpu==='max' ? ['x', 'no5lvl'] : ['x'])
        line += ` ${loadAt.toString(16)}/${paging}/${append}:${(await judgeEntry64(image, { cpu, loadAt, paging, append, memory: '6G' })).verdict}`;
    console.log(line);
  }
}
