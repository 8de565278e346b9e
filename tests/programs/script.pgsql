-- SPDX-License-Identifier: MIT
-- What tests/programs/run asks PostgreSQL after pgbench: the sums that every run with one seed ends with, then
-- sorts, hashes, text and JSON.
select count(*), sum(abalance) from pgbench_accounts;
select count(*), sum(tbalance) from pgbench_tellers;
select count(*), sum(bbalance) from pgbench_branches;
select count(*), sum(delta), count(distinct aid) from pgbench_history;
set work_mem = '8MB';
create table item as
    select i as id, md5(i::text) as name, (i * 7919) % 1000 as kind, repeat(md5((i * 3)::text), i % 20) as note
    from generate_series(1, 100000) as i;
create index on item (name);
create index on item using gin (to_tsvector('simple', substr(note, 1, 40)));
select kind, count(*), min(name), max(length(note)) from item group by kind order by kind limit 10;
select md5(string_agg(name, ',' order by name)) from item;
select md5(string_agg(a.name || b.name, ',' order by a.id, b.id)) from item a join item b on a.kind = b.kind + 1
    where a.id < 3000 and b.id < 3000;
select md5(jsonb_agg(jsonb_build_object('id', id, 'name', name, 'note', note) order by id)::text) from item
    where id < 20000;
select count(*) from item where name like 'ab%' or note ~ 'c0ffee|dead';
do $$
declare
    total bigint := 0;
begin
    for n in 1..20000 loop
        begin
            total := total + n / (n % 10);
        exception when division_by_zero then
            total := total + 1;
        end;
    end loop;
    raise notice 'total %', total;
end $$;
vacuum full item;
select count(*) from item;
