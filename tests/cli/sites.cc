/* SPDX-License-Identifier: MIT */
#include <cstddef>
#include <cstdio>
#include <new>
#include <vector>

/*
 * A program that asks for memory in functions of known names, of which the compiler puts one into
 * another. What it prints are the numbers that a report on it has to have.
 */

namespace shop
{

static void *volatile sink; /* keeps compilers from removing pairs */

struct Order {
    char bytes[1000];
};

/* Put into its callers. */
[[gnu::always_inline]] inline Order *make_order()
{
    Order *order = new Order;
    sink = order;
    return order;
}

class Shelf
{
  public:
    [[gnu::noinline]] void fill(int count)
    {
        for (int i = 0; i < count; i++) {
            orders.push_back(make_order());
        }
    }

    [[gnu::noinline]] void clear()
    {
        for (Order *order : orders) {
            delete order;
        }
        orders.clear();
    }

  private:
    std::vector<Order *> orders;
};

[[gnu::noinline]] static void forget(int count)
{
    for (int i = 0; i < count; i++) {
        sink = ::operator new(7001);
    }
}

[[gnu::noinline]] static void use_at_once(int count)
{
    for (int i = 0; i < count; i++) {
        void *block = ::operator new(333);
        sink = block;
        ::operator delete(block);
    }
}

} // namespace shop

int main()
{
    shop::Shelf shelf;
    shelf.fill(2000);
    shelf.clear();
    shop::forget(40);
    shop::use_at_once(5000);
    std::puts("orders 2000 forgotten 40 temporary 5000");
    return 0;
}
