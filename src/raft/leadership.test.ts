import { expect, it } from 'vitest';

import { silentLog } from '../lib/log.ts';
import { LeadershipNews, type RaftLeadership } from './leadership.ts';

function begin() {
  const core = { term: 1 };
  const heard: RaftLeadership[] = [];
  const news = new LeadershipNews({
    term: () => core.term,
    logger: silentLog,
    onFailure: (error) => {
      throw error;
    },
  });
  news.listen((leadership) => heard.push(leadership));
  return { core, news, heard };
}

it('a term that changes is told of where neither role nor leader does', () => {
  const { core, news, heard } = begin();
  news.changed({ leader: 0, role: 'follower' });
  core.term = 2;
  news.look();
  news.look();
  expect(heard).toEqual([
    { isLeader: false, term: 1, leader: 0 },
    { isLeader: false, term: 2, leader: 0 },
  ]);
});

it('a leader of another term has nothing of it applied yet', () => {
  const { core, news, heard } = begin();
  news.changed({ leader: 1, role: 'leader' });
  news.applied(1);
  expect(heard.at(-1)).toEqual({ isLeader: true, term: 1, leader: 1 });
  core.term = 3;
  news.look();
  expect(heard.at(-1)).toEqual({ isLeader: false, term: 3, leader: 1 });
  news.applied(3);
  expect(heard.at(-1)).toEqual({ isLeader: true, term: 3, leader: 1 });
});
