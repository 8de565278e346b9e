/* SPDX-License-Identifier: MIT */

/*
 * A graph in C++: nodes in an unordered_map, edges in vectors and sets, a search with a deque and
 * a priority queue, edges and nodes that come and go; built and dropped several times.
 */

#include "work.h"

#include <deque>
#include <list>
#include <map>
#include <memory>
#include <queue>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace
{

constexpr unsigned rounds = 6;
constexpr uint32_t node_count = 12000;
constexpr uint32_t edge_count = 60000;

struct edge {
    uint32_t to;
    uint32_t weight;
};

struct node {
    std::string label;
    std::vector<edge> out;
    std::set<uint32_t> in;
};

using nodes = std::unordered_map<uint32_t, std::unique_ptr<node>>;

void add_edge(nodes &graph, uint32_t from, uint32_t to, uint32_t weight)
{
    graph[from]->out.push_back({to, weight});
    graph[to]->in.insert(from);
}

nodes build(work_random &random)
{
    nodes built;
    for (uint32_t i = 0; i < node_count; i++) {
        built[i] = std::make_unique<node>();
        built[i]->label = "node " + std::to_string(i) + std::string(work_below(&random, 40), '.');
    }
    for (uint32_t i = 0; i < edge_count; i++) {
        add_edge(built, work_below(&random, node_count), work_below(&random, node_count),
                 work_between(&random, 1, 100));
    }
    return built;
}

/* Shortest ways from `start`; the sum of them all. */
uint64_t search(const nodes &graph, uint32_t start)
{
    std::map<uint32_t, uint64_t> distance;
    std::priority_queue<std::pair<uint64_t, uint32_t>, std::deque<std::pair<uint64_t, uint32_t>>,
                        std::greater<>>
        open;
    open.emplace(0, start);
    uint64_t sum = 0;
    while (!open.empty()) {
        const auto [far, at] = open.top();
        open.pop();
        if (!distance.emplace(at, far).second) {
            continue;
        }
        sum += far;
        const auto found = graph.find(at);
        for (const edge &edge : found->second->out) {
            if (distance.count(edge.to) == 0) {
                open.emplace(far + edge.weight, edge.to);
            }
        }
    }
    return sum;
}

/* Takes a random part of the nodes away, with the edges that lead to them, and puts others in
 * their place. */
void churn(nodes &graph, work_random &random)
{
    std::list<uint32_t> gone;
    for (uint32_t i = 0; i < node_count / 4; i++) {
        gone.push_back(work_below(&random, node_count));
    }
    for (const uint32_t id : gone) {
        for (const uint32_t from : graph[id]->in) {
            std::vector<edge> left;
            for (const edge &edge : graph[from]->out) {
                if (edge.to != id) {
                    left.push_back(edge);
                }
            }
            graph[from]->out.swap(left);
        }
        for (const edge &edge : graph[id]->out) {
            graph[edge.to]->in.erase(id);
        }
        graph[id] = std::make_unique<node>();
        graph[id]->label = "new " + std::to_string(id);
    }
    for (const uint32_t id : gone) {
        add_edge(graph, id, work_below(&random, node_count), 7);
        add_edge(graph, work_below(&random, node_count), id, 9);
    }
}

} // namespace

int main(int argc, char **argv)
{
    work_random random = {work_mix(work_seed(argc, argv, 1))};
    uint64_t checksum = 0;
    for (unsigned round = 0; round < rounds; round++) {
        nodes graph = build(random);
        for (unsigned i = 0; i < 2; i++) {
            checksum = work_mix(checksum + search(graph, work_below(&random, node_count)));
            churn(graph, random);
        }
        for (uint32_t i = 0; i < node_count; i++) {
            checksum += graph[i]->label.size() * graph[i]->out.size();
        }
    }
    work_report(static_cast<uint64_t>(rounds) * (node_count + edge_count), checksum);
    return 0;
}
